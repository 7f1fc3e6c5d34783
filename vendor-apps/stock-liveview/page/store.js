/**
 * The page's data: each company's newest average and the points of its chart. Pure: it depends on neither the connection
 * nor the document.
 *
 * The WebSocket tells newest averages only. The points before them are read on demand (recent.js), for the companies
 * that are on the screen.
 */

import { RECENT_AVERAGES } from "./contract.js";

/** A company is quiet after this many times its usual interval without a window, and after at least QUIET_MS. */
const QUIET_INTERVALS = 5;
const QUIET_MS = 10_000;
/** Points that may exceed the limit before they are removed, all at once. */
const SLACK = 64;
/** Points of a company whose history was never read: it is not on the screen. */
const UNREAD_POINTS = 16;

/**
 * @typedef {object} Newest
 * @property {string} _id
 * @property {string} company
 * @property {number} avgPrice
 * @property {number} time         when the window closed, by the consumer's clock: a label; ms since 1970
 * @property {number} seenAt       when the live view got it, by its clock; ms since 1970
 * @property {number} [count]
 * @property {{count: number, avgPrice: number | null}} [buy]
 * @property {{count: number, avgPrice: number | null}} [sell]
 * @property {number} [minPrice]
 * @property {number} [maxPrice]
 */

/**
 * Points of a chart in the order of the database, oldest first. Times may be out of order: clocks can be wrong.
 * @typedef {{time: number[], avgPrice: number[], buy: (number | null)[], sell: (number | null)[]}} Points
 */

/**
 * @typedef {object} Company
 * @property {string} name
 * @property {number} colour       its colour in the palette, kept as long as the page is open
 * @property {Newest} newest
 * @property {Points & {id: string[]}} points  changed in place
 * @property {number} revision     grows whenever anything about this company changes
 * @property {number} first        its first average since the page was opened
 * @property {number} depth        how many points were asked for; 0 when its history is to be read (again)
 * @property {number} told         index of the first point that the WebSocket told since the history was read
 * @property {number} resets       how often its history became void
 */

const alphabetical = new Intl.Collator("en").compare;

export class Store {
  /** @type {Map<string, Company>} */
  #companies = new Map();
  /** @type {Company[] | undefined} */
  #sorted;
  #nextColour = 0;
  /** Companies named since the first part of the market arrived. @type {Set<string>} */
  #named = new Set();

  /** Every company, in alphabetical order. The same array until companies come or go. @returns {readonly Company[]} */
  companies() {
    this.#sorted ??= [...this.#companies.values()].sort((a, b) => alphabetical(a.name, b.name));
    return this.#sorted;
  }

  /** @param {string} name */
  company(name) {
    return this.#companies.get(name);
  }

  /**
   * Takes one part of the whole market. With the last one, companies that were named in no message since the first part
   * are gone.
   * @param {{part: number, parts: number, companies: Newest[]}} message
   * @returns {boolean} whether the market is complete now
   */
  receiveMarket({ part, parts, companies }) {
    if (part === 0) this.#named = new Set();
    for (const newest of companies) this.#forgetHistory(this.#renew(newest));
    if (part < parts - 1) return false;
    for (const name of this.#companies.keys()) {
      if (!this.#named.has(name)) this.#remove(name);
    }
    return true;
  }

  /** Takes new averages: each is its company's newest by now. @param {Newest[]} averages */
  receiveAverages(averages) {
    for (const average of averages) append(this.#renew(average), average);
  }

  /**
   * Takes the whole market as the original live view tells it, twice a second: documents, without times of ours.
   * @param {Array<{_id: string, company: string, avgPrice: number, closedAt?: string}>} prices
   * @param {number} now  ms since 1970
   */
  receivePrices(prices, now) {
    const names = new Set(prices.map(({ company }) => company));
    for (const name of this.#companies.keys()) {
      if (!names.has(name)) this.#remove(name);
    }
    const isNews = (/** @type {{_id: string, company: string, avgPrice: number}} */ { _id, company, avgPrice }) => {
      const newest = this.#companies.get(company)?.newest;
      return newest?._id !== _id || newest.avgPrice !== avgPrice;
    };
    this.receiveAverages(
      prices.filter(isNews).map((document) => ({
        ...document,
        time: Date.parse(document.closedAt ?? "") || now,
        seenAt: now,
      })),
    );
  }

  /** Takes companies whose past was changed. @param {Array<{company: string, newest: Newest | null}>} changes */
  receiveChanged(changes) {
    for (const { company: name, newest } of changes) {
      if (newest) this.#forgetHistory(this.#renew(newest));
      else this.#remove(name);
    }
  }

  /**
   * Takes a company's recent points, as a live view keeps them.
   * @param {{company: string, id: string[]} & Points} recent  oldest first
   * @param {number} depth   how many points were asked for
   * @param {number} resets  the company's `resets` when they were asked for
   */
  receiveRecent({ company: name, id, time, avgPrice, buy, sell }, depth, resets) {
    const company = this.#companies.get(name);
    if (!company || company.resets !== resets) return;
    const { points, told } = company;
    const from = firstAfter(points, told, id, time);
    company.points = {
      id: [...id, ...points.id.slice(from)],
      time: [...time, ...points.time.slice(from)],
      avgPrice: [...avgPrice, ...points.avgPrice.slice(from)],
      buy: [...buy, ...points.buy.slice(from)],
      sell: [...sell, ...points.sell.slice(from)],
    };
    company.told = id.length;
    company.depth = depth;
    company.revision += 1;
    bound(company);
  }

  /** Replaces a company's newest average, also of a company not known before. @param {Newest} newest */
  #renew(newest) {
    const { company: name } = newest;
    this.#named.add(name);
    let company = this.#companies.get(name);
    if (!company) {
      company = {
        name,
        colour: this.#nextColour++,
        newest,
        points: { id: [], time: [], avgPrice: [], buy: [], sell: [] },
        revision: 0,
        first: newest.avgPrice,
        depth: 0,
        told: 0,
        resets: 0,
      };
      this.#companies.set(name, company);
      this.#sorted = undefined;
    }
    company.newest = newest;
    company.revision += 1;
    return company;
  }

  /** Keeps the points on the screen until the history has been read again. @param {Company} company */
  #forgetHistory(company) {
    company.depth = 0;
    company.told = company.points.id.length;
    company.resets += 1;
  }

  /** @param {string} name */
  #remove(name) {
    this.#companies.delete(name);
    this.#sorted = undefined;
  }
}

/**
 * Whether a company should have had a window by now. It is judged by when the live view got its windows, because the
 * consumer's clock may be wrong.
 * @param {Company} company @param {number} now  ms since 1970, by the live view's clock
 */
export function isQuiet({ points, newest }, now) {
  return now - newest.seenAt > Math.max(QUIET_MS, QUIET_INTERVALS * usualInterval(points.time));
}

/** The median interval of the newest windows, ms; 0 when there are fewer than two. @param {readonly number[]} times */
export function usualInterval(times) {
  const newest = times.slice(-11);
  const intervals = newest.slice(1).map((time, index) => Math.max(time - newest[index], 0));
  return intervals.sort((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? 0;
}

/** @param {Company} company @param {Newest} average */
function append(company, { _id, time, avgPrice, buy, sell }) {
  const { points } = company;
  // A document that is updated in place stays one point, also when it was read before it was told.
  const known = points.id.lastIndexOf(_id);
  const index = known < 0 ? points.id.length : known;
  points.id[index] = _id;
  points.time[index] = time;
  points.avgPrice[index] = avgPrice;
  points.buy[index] = buy?.avgPrice ?? null;
  points.sell[index] = sell?.avgPrice ?? null;
  bound(company);
}

/** @param {Company} company */
function bound(company) {
  const isUnread = company.depth === 0 && company.told === 0;
  const surplus = company.points.id.length - (isUnread ? UNREAD_POINTS : RECENT_AVERAGES);
  if (surplus <= (isUnread ? 0 : SLACK)) return;
  for (const values of Object.values(company.points)) values.splice(0, surplus);
  company.told = Math.max(company.told - surplus, 0);
}

/**
 * Index of the first told point that is newer than all points read. The answer may be older than the told points, newer
 * (of another live view), or overlap them.
 * @param {Company["points"]} points @param {number} told @param {string[]} ids  of the points read @param {number[]} times
 */
function firstAfter(points, told, ids, times) {
  const read = new Set(ids);
  for (let index = points.id.length - 1; index >= told; index -= 1) {
    if (read.has(points.id[index])) return index + 1;
  }
  const isNewer = ids.length > 0 && times[times.length - 1] >= (points.time.at(-1) ?? 0);
  return isNewer ? points.id.length : told;
}
