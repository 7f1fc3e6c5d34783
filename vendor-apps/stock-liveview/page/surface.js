/**
 * What drawings of the overview stand on: sizes from one observer, colours read once for each scheme. Nothing here asks
 * the browser for a layout.
 */

/** @typedef {(width: number, height: number) => void} OnSize */

/** @type {WeakMap<Element, OnSize>} */
const listeners = new WeakMap();
const observer = new ResizeObserver((entries) => {
  for (const { target, borderBoxSize } of entries) {
    const [{ inlineSize, blockSize }] = borderBoxSize;
    listeners.get(target)?.(inlineSize, blockSize);
  }
});

/** Calls `listener` with the element's size in CSS pixels, now and when it changes. @param {Element} element @param {OnSize} listener */
export function onSize(element, listener) {
  listeners.set(element, listener);
  observer.observe(element);
  return () => {
    listeners.delete(element);
    observer.unobserve(element);
  };
}

/** @type {Map<string, string>} */
const colours = new Map();
const scheme = matchMedia("(prefers-color-scheme: dark)");
scheme.addEventListener("change", () => colours.clear());

/** A colour of the style sheet in the current scheme. @param {string} name  of its property */
export function paint(name) {
  let value = colours.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    colours.set(name, value);
  }
  return value;
}

/** Calls `redraw` after the colours have changed. @param {() => void} redraw */
export function onColours(redraw) {
  scheme.addEventListener("change", redraw);
}

/** A canvas of its own size in CSS pixels, sharp on any screen. */
export class Surface {
  #canvas;
  #context;
  #stop;
  #ratio = 0;
  width = 0;
  height = 0;

  /** @param {HTMLCanvasElement} canvas @param {() => void} draw  called when its size has changed */
  constructor(canvas, draw) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#stop = onSize(canvas, (width, height) => {
      [this.width, this.height] = [Math.round(width), Math.round(height)];
      this.#ratio = 0;
      draw();
    });
  }

  /** An empty drawing area; undefined while it has no size. */
  cleared() {
    if (this.width === 0 || this.height === 0) return undefined;
    if (this.#ratio === devicePixelRatio) {
      this.#context.clearRect(0, 0, this.width, this.height);
    } else {
      this.#ratio = devicePixelRatio;
      this.#canvas.width = Math.round(this.width * devicePixelRatio);
      this.#canvas.height = Math.round(this.height * devicePixelRatio);
      this.#context.scale(devicePixelRatio, devicePixelRatio);
    }
    return this.#context;
  }

  /** Gives its memory back until it is drawn again. */
  release() {
    this.#canvas.width = 0;
    this.#canvas.height = 0;
    this.#ratio = 0;
  }

  destroy() {
    this.#stop();
    this.release();
  }
}
