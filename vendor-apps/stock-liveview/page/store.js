/**
 * The page's data: each company's newest average and the points of its chart. Pure: it depends on neither the connection
 * nor the document.
 */

import { RECENT_AVERAGES } from "./contract.js";

/** A company is quiet after this many times its usual interval without a window, and after at least QUIET_MS. */
const QUIET_INTERVALS = 5;
const QUIET_MS = 10_000;

/**
 * @typedef {object} Newest
 * @property {string} company
 * @property {number} avgPrice
 * @property {number} time         ms since 1970
 * @property {number} [count]
 * @property {{count: number, avgPrice: number | null}} [buy]
 * @property {{count: number, avgPrice: number | null}} [sell]
 * @property {number} [minPrice]
 * @property {number} [maxPrice]
 */

/** Points of a chart, oldest first. @typedef {{time: number[], avgPrice: number[], buy: (number | null)[], sell: (number | null)[]}} Points */

/**
 * @typedef {object} Company
 * @property {string} name
 * @property {number} colour       its colour in the palette, kept as long as the page is open
 * @property {Newest} newest
 * @property {Points} points
 */

const alphabetical = new Intl.Collator("en").compare;

export class Store {
  /** @type {Map<string, Company>} */
  #companies = new Map();
  #nextColour = 0;

  /** Every company, in alphabetical order. @returns {Company[]} */
  companies() {
    return [...this.#companies.values()].sort((a, b) => alphabetical(a.name, b.name));
  }

  /** @param {string} name */
  company(name) {
    return this.#companies.get(name);
  }

  /**
   * Takes the whole state of a live view. Keeps points that are older than all of it, and replaces the others, so
   * that no point appears twice when the page changes to another live view.
   * @param {Array<{company: string, newest: Newest} & Points>} histories
   */
  receiveHistory(histories) {
    const before = this.#companies;
    this.#companies = new Map();
    for (const { company: name, newest, time, avgPrice, buy, sell } of histories) {
      const known = before.get(name);
      const points = known?.points ?? { time: [], avgPrice: [], buy: [], sell: [] };
      const firstTold = points.time.findIndex((known) => known >= (time[0] ?? Number.POSITIVE_INFINITY));
      const kept = firstTold === -1 ? points.time.length : firstTold;
      this.#companies.set(name, {
        name,
        colour: known?.colour ?? this.#nextColour++,
        newest,
        points: bounded({
          time: [...points.time.slice(0, kept), ...time],
          avgPrice: [...points.avgPrice.slice(0, kept), ...avgPrice],
          buy: [...points.buy.slice(0, kept), ...buy],
          sell: [...points.sell.slice(0, kept), ...sell],
        }),
      });
    }
  }

  /** Adds new averages. @param {Newest[]} averages */
  receiveAverages(averages) {
    for (const average of averages) {
      const { company: name, time, avgPrice, buy, sell } = average;
      let company = this.#companies.get(name);
      if (!company) {
        company = {
          name,
          colour: this.#nextColour++,
          newest: average,
          points: { time: [], avgPrice: [], buy: [], sell: [] },
        };
        this.#companies.set(name, company);
      }
      const { points } = company;
      // Nearly always at the end. A late one is inserted, because charts need their points in order of time.
      let index = points.time.length;
      while (index > 0 && points.time[index - 1] > time) index -= 1;
      if (index === points.time.length) company.newest = average;
      points.time.splice(index, 0, time);
      points.avgPrice.splice(index, 0, avgPrice);
      points.buy.splice(index, 0, buy?.avgPrice ?? null);
      points.sell.splice(index, 0, sell?.avgPrice ?? null);
      company.points = bounded(points);
    }
  }
}

/** Whether a company should have had a window by now. @param {Company} company @param {number} now  ms since 1970 */
export function isQuiet({ points, newest }, now) {
  const times = points.time.slice(-11);
  const intervals = times.slice(1).map((time, index) => time - times[index]);
  const usual = intervals.sort((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? 0;
  return now - newest.time > Math.max(QUIET_MS, QUIET_INTERVALS * usual);
}

/** @param {Points} points @returns {Points} */
function bounded({ time, avgPrice, buy, sell }) {
  return {
    time: time.slice(-RECENT_AVERAGES),
    avgPrice: avgPrice.slice(-RECENT_AVERAGES),
    buy: buy.slice(-RECENT_AVERAGES),
    sell: sell.slice(-RECENT_AVERAGES),
  };
}
