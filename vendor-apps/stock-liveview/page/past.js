/**
 * Prices of some time ago, of every company, for the change since then. They are read while they are wanted.
 */
/** How often the prices of each time ago are read again. What was five minutes ago changes faster than a day ago. */
const REFRESH_MS = { "5m": 15_000, "1h": 60_000, "1d": 5 * 60_000 };
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = 60_000;
/** A hidden page reads them when it is looked at again. */
const HIDDEN_MS = 24 * 3_600_000;

/** @typedef {import("./contract.js").PastName} PastName */

export class Past {
  #onChange;
  /** @type {PastName | undefined} */
  #wanted;
  #stop = new AbortController();
  /** @type {Map<string, number>} */
  #prices = new Map();

  /** @param {() => void} onChange  called when prices have arrived */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** @param {PastName | undefined} ago  undefined: none */
  want(ago) {
    if (ago === this.#wanted) return;
    this.#wanted = ago;
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#prices = new Map();
    if (ago) void this.#follow(ago, this.#stop.signal);
  }

  /** A company's price at that time; undefined when there is none, or it is not known yet. @param {string} company */
  priceOf(company) {
    return this.#prices.get(company);
  }

  /** @param {PastName} ago @param {AbortSignal} signal */
  async #follow(ago, signal) {
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const prices = document.visibilityState === "visible" ? await read(ago, signal) : undefined;
      if (signal.aborted) return;
      if (prices) {
        this.#prices = prices;
        this.#onChange();
      }
      const isHidden = document.visibilityState !== "visible";
      await untilLater(prices ? REFRESH_MS[ago] : isHidden ? HIDDEN_MS : retryMs, signal);
      retryMs = prices ? FIRST_RETRY_MS : Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }
}

/** @param {PastName} ago @param {AbortSignal} signal @returns {Promise<Map<string, number> | undefined>} undefined when they cannot be read now */
async function read(ago, signal) {
  try {
    const response = await fetch(`past?${new URLSearchParams({ ago })}`, { signal });
    if (!response.ok) return undefined;
    const { prices } = await response.json();
    return new Map(Object.entries(prices));
  } catch {
    return undefined;
  }
}

/** Waits; a page that is looked at again does not wait longer. @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function untilLater(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const onVisible = () => document.visibilityState === "visible" && done();
    const timer = setTimeout(done, ms);
    document.addEventListener("visibilitychange", onVisible);
    signal.addEventListener("abort", done);
  });
}
