/**
 * A company's past over a range: read from the live view, kept up to date as windows close, and read again when it
 * became void.
 */
import { isRange, RANGES } from "./contract.js";
import { extend, firstNewer, sampleStep } from "./ranges.js";
import { ascending } from "./series.js";

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./store.js").Points} Points */

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;

export class RangeHistory {
  #name;
  #range;
  #onChange;
  #leaving = new AbortController();
  /** The points; undefined until they have been read. @type {Points | undefined} */
  points;
  /** Whether the last attempt to read them failed. */
  hasFailed = false;
  /** Grows with each change of the points. */
  revision = 0;
  /** Time between samples, ms; 0 when all windows are there. */
  #step = 0;
  /** Whose windows continue the points: the company is another object after it was away. @type {Company | undefined} */
  #company;
  /** The company's `resets` when the points were asked for. */
  #resets = -1;
  /** Of the last window in the points; undefined before the first was appended. @type {string | undefined} */
  #lastId;
  #isReading = false;

  /** @param {string} name  the company's @param {string} range @param {() => void} onChange  called when points were read, or cannot be */
  constructor(name, range, onChange) {
    this.#name = name;
    this.#range = range;
    this.#onChange = onChange;
  }

  close() {
    this.#leaving.abort();
  }

  /** Takes the windows that closed since. @param {Company} company */
  follow(company) {
    const isVoid = company !== this.#company || company.resets !== this.#resets;
    if (isVoid) void this.#read(company);
    else if (this.points) this.#append(this.points, company);
  }

  /** @param {Points} history @param {Company} company */
  #append(history, company) {
    const { points } = company;
    if (points.id.length === 0) return;
    const newest = points.id[points.id.length - 1];
    const known = this.#lastId === undefined ? -1 : points.id.lastIndexOf(this.#lastId);
    if (this.#lastId !== undefined && known < 0) {
      // So many windows closed that the page has no longer all of them.
      void this.#read(company);
      return;
    }
    // The last one again: a document may have been updated in place.
    const from = known < 0 ? firstNewer(history, points) : known + 1;
    const last = points.id.length - 1;
    if (from > last && (known < 0 || points.avgPrice[last] === history.avgPrice.at(-1))) return;
    if (from <= last) {
      const span = isRange(this.#range) ? RANGES[this.#range].ms : 0;
      extend(history, points, from, span, this.#step);
      this.#lastId = newest;
    } else {
      const end = history.time.length - 1;
      history.time[end] = points.time[last];
      history.avgPrice[end] = points.avgPrice[last];
      history.buy[end] = points.buy[last];
      history.sell[end] = points.sell[last];
    }
    this.revision += 1;
  }

  /** @param {Company} company */
  async #read(company) {
    this.#company = company;
    this.#resets = company.resets;
    if (this.#isReading) return;
    this.#isReading = true;
    for (let retryMs = FIRST_RETRY_MS; !this.#leaving.signal.aborted; retryMs = Math.min(retryMs * 2, LAST_RETRY_MS)) {
      const resets = this.#resets;
      const isAgain = this.points !== undefined;
      const points = await fetchHistory(this.#name, this.#range, this.#leaving.signal, isAgain);
      if (this.#leaving.signal.aborted) return;
      this.hasFailed = !points;
      if (points) {
        this.#take(points);
        // What became void meanwhile is read once more.
        if (resets !== this.#resets) continue;
        break;
      }
      this.#onChange();
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
    this.#isReading = false;
    this.#onChange();
  }

  /** @param {Points} points */
  #take(points) {
    this.points = points;
    this.#lastId = undefined;
    this.#step = sampleStep(this.#range, ascending(points.time));
    this.revision += 1;
  }
}

/**
 * @param {string} company @param {string} range @param {AbortSignal} signal
 * @param {boolean} isAgain  whether the answer that the browser keeps is void
 * @returns {Promise<Points | undefined>} undefined when it cannot be read at the moment
 */
async function fetchHistory(company, range, signal, isAgain) {
  try {
    const cache = isAgain ? "reload" : "default";
    const response = await fetch(`history?${new URLSearchParams({ company, range })}`, { signal, cache });
    if (!response.ok) return undefined;
    const { time, avgPrice, buy, sell } = await response.json();
    return { time, avgPrice, buy, sell };
  } catch {
    return undefined;
  }
}
