/**
 * Reads the points of charts from the live view's memory, for the companies that are on the screen: the first ones
 * first, a bounded part in each request, one request at a time. So it also suits a slow link.
 */
import { MAX_RECENT_POINTS } from "./contract.js";

/** Longer addresses do not pass every proxy. */
const MAX_ADDRESS = 4000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
/** A company that a live view does not know (yet) is asked for again after this time. */
const UNKNOWN_RETRY_MS = 5000;

export class Recent {
  #store;
  #onChange;
  /** @type {readonly string[]} */
  #names = [];
  #depth = 0;
  #isReading = false;
  /** Companies that are not asked for before a time, ms of the monotonic clock. @type {Map<string, number>} */
  #notBefore = new Map();

  /** @param {import("./store.js").Store} store @param {() => void} onChange  called when points have arrived */
  constructor(store, onChange) {
    this.#store = store;
    this.#onChange = onChange;
  }

  /**
   * Reads what the charts of these companies lack, and stops reading for others.
   * @param {readonly string[]} names  most wanted first
   * @param {number} depth  points of each
   */
  want(names, depth) {
    this.#names = names;
    this.#depth = depth;
    if (!this.#isReading) void this.#read();
  }

  async #read() {
    this.#isReading = true;
    let retryMs = FIRST_RETRY_MS;
    for (let request = this.#next(); request; request = this.#next()) {
      if (await this.#answer(request)) {
        retryMs = FIRST_RETRY_MS;
        this.#onChange();
      } else {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
    this.#isReading = false;
  }

  /** The next request; undefined when nothing is lacking. */
  #next() {
    const depth = this.#depth;
    const query = new URLSearchParams({ limit: String(depth) });
    /** How often each company's history had become void by now. @type {Map<string, number>} */
    const resets = new Map();
    for (const name of this.#names) {
      const company = this.#store.company(name);
      if (!company || company.depth >= depth || (this.#notBefore.get(name) ?? 0) > performance.now()) continue;
      query.append("company", name);
      resets.set(name, company.resets);
      if ((resets.size + 1) * depth > MAX_RECENT_POINTS || query.toString().length > MAX_ADDRESS) break;
    }
    return resets.size > 0 ? { query, depth, resets } : undefined;
  }

  /** @param {{query: URLSearchParams, depth: number, resets: Map<string, number>}} request @returns {Promise<boolean>} whether it was answered */
  async #answer({ query, depth, resets }) {
    try {
      const response = await fetch(`recent?${query}`);
      if (!response.ok) return false;
      const { companies } = await response.json();
      for (const name of resets.keys()) this.#notBefore.set(name, performance.now() + UNKNOWN_RETRY_MS);
      for (const recent of companies) {
        this.#store.receiveRecent(recent, depth, resets.get(recent.company) ?? -1);
        this.#notBefore.delete(recent.company);
      }
      return true;
    } catch {
      return false;
    }
  }
}
