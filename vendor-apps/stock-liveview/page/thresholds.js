/**
 * Prices that a person wants to be told of: above or below a threshold of a company's. They are kept in this browser.
 */

const KEY = "stockmarket.thresholds";

/** @typedef {{above?: number, below?: number}} Threshold */

export class Thresholds {
  #storage;
  /** @type {Map<string, Threshold>} */
  #thresholds = new Map();
  /** What was told of each company last. @type {Map<string, string>} */
  #told = new Map();
  /** Grows with each change. */
  revision = 0;

  /** @param {Pick<Storage, "getItem" | "setItem">} storage */
  constructor(storage) {
    this.#storage = storage;
    try {
      const stored = /** @type {[string, any][]} */ (JSON.parse(storage.getItem(KEY) ?? "[]"));
      for (const [name, { above, below }] of stored) this.#put(name, { above, below });
    } catch {
      // Another program's entry, or storage is denied: there are none.
    }
  }

  /** In the order in which they were set. */
  all() {
    return [...this.#thresholds];
  }

  /** @param {string} name @returns {Threshold} */
  get(name) {
    return this.#thresholds.get(name) ?? {};
  }

  /** @param {string} name @param {Threshold} threshold  neither above nor below: removes it */
  set(name, threshold) {
    this.#put(name, threshold);
    this.#told.delete(name);
    this.revision += 1;
    try {
      this.#storage.setItem(KEY, JSON.stringify(this.all()));
    } catch {
      // Kept as long as the page is open.
    }
  }

  /** @param {string} name @param {Threshold} threshold */
  #put(name, { above, below }) {
    /** @type {Threshold} */
    const valid = {};
    if (Number.isFinite(above)) valid.above = above;
    if (Number.isFinite(below)) valid.below = below;
    if (Object.keys(valid).length > 0) this.#thresholds.set(name, valid);
    else this.#thresholds.delete(name);
  }

  /** Where a price is beyond its company's threshold. @param {string} name @param {number} price @returns {"above" | "below" | ""} */
  side(name, price) {
    const { above, below } = this.get(name);
    if (above !== undefined && price > above) return "above";
    if (below !== undefined && price < below) return "below";
    return "";
  }

  /**
   * Whether a price has just gone beyond a threshold: once, until it has been back within.
   * @param {string} name @param {number} price @returns {"above" | "below" | ""}
   */
  crossed(name, price) {
    if (!this.#thresholds.has(name)) return "";
    const side = this.side(name, price);
    const isNews = side !== (this.#told.get(name) ?? "");
    this.#told.set(name, side);
    return isNews ? side : "";
  }
}
