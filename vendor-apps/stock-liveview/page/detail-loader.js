/**
 * Loads the view of one company, its styles and its chart library: on a slow link they come after the first prices.
 */

/** What could not be loaded is tried again after this time. */
const RETRY_MS = 2000;

export class DetailLoader {
  /** Once it is there. @type {typeof import("./detail.js").Detail | undefined} */
  Detail;
  #isLoading = false;
  #failures = 0;
  #onLoaded;
  #onRetry;

  /** @param {() => void} onLoaded @param {() => void} onRetry  when it is time to call `load` again */
  constructor(onLoaded, onRetry) {
    this.#onLoaded = onLoaded;
    this.#onRetry = onRetry;
  }

  load() {
    if (this.Detail || this.#isLoading) return;
    this.#isLoading = true;
    // A browser may remember that an address failed.
    const name = this.#failures > 0 ? `./detail.js?${this.#failures}` : "./detail.js";
    Promise.all([import(name), loadChartLibrary(), loadStyles("uPlot.css"), loadStyles("detail.css")]).then(
      ([module]) => {
        this.Detail = module.Detail;
        this.#onLoaded();
      },
      () => {
        this.#failures += 1;
        setTimeout(() => {
          this.#isLoading = false;
          this.#onRetry();
        }, RETRY_MS);
      },
    );
  }
}

/** It is no module: a script puts it into the global scope. */
function loadChartLibrary() {
  if ("uPlot" in globalThis) return Promise.resolve();
  return added(Object.assign(document.createElement("script"), { src: addressOf("uPlot.js") }));
}

/** @param {string} name */
function loadStyles(name) {
  return added(Object.assign(document.createElement("link"), { rel: "stylesheet", href: addressOf(name) }));
}

/** Adds what is loaded from elsewhere. @param {HTMLElement} element @returns {Promise<void>} */
function added(element) {
  return new Promise((resolve, reject) => {
    element.addEventListener("load", () => resolve());
    element.addEventListener("error", () => {
      element.remove();
      reject(new Error("a file of the page cannot be loaded"));
    });
    document.head.append(element);
  });
}

/** Of another file of this page. @param {string} name */
function addressOf(name) {
  return new URL(name, import.meta.url).href;
}
