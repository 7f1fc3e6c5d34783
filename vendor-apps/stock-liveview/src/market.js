/**
 * The market: the newest averages of every company, in memory. It depends on neither the database nor the browsers.
 * The cost of adding an average depends neither on the size of the collection nor on the number of companies.
 *
 * It holds a bounded number of averages. What it does not hold, it asks for: `takeShort()` names the companies that
 * the feed should read again.
 */
import { EventEmitter } from "node:events";
import { RECENT_AVERAGES } from "../page/contract.js";
import { compareStored, isSame, parseAverage } from "./average.js";
import { Names } from "./names.js";
import { idText } from "./order.js";
import { Series } from "./series.js";

/** @typedef {import("./average.js").Average} Average */
/** @typedef {import("./average.js").Stored} Stored */

/** Limit of companies shown, so that a faulty consumer cannot fill the memory. */
const MAX_COMPANIES = 10_000;
/** Averages kept over all companies, unless each has only `LEAST_AVERAGES`. */
const MAX_AVERAGES = 60_000;
const LEAST_AVERAGES = 20;

/**
 * Events:
 * - `average` (Average): a company's new newest average, or its newest one, updated in place.
 * - `changed` (company): anything else about a company: an average was deleted, corrected or stored late.
 * - `reloaded` (): everything may have changed.
 * - `skipped` (): a document was not an average.
 * @extends {EventEmitter<{average: [Average], changed: [string], reloaded: [], skipped: []}>}
 */
export class Market extends EventEmitter {
  #limits;
  /** @type {Map<string, Series>} */
  #series = new Map();
  /** The company of each average that is kept, by `_id`. @type {Map<string, string>} */
  #companyOf = new Map();
  #names;
  /** Averages kept of each company, at most. */
  #each = RECENT_AVERAGES;
  /** Companies with fewer averages than they should have. @type {Set<string>} */
  #short = new Set();
  #isEmptied = false;
  #isLoaded = false;

  /** Averages that came from the database, each counted once. For the metrics. */
  received = 0;

  /** @param {{companies?: number, averages?: number}} [limits]  for tests */
  constructor({ companies = MAX_COMPANIES, averages = MAX_AVERAGES } = {}) {
    super();
    this.#limits = { companies, averages };
    this.#names = new Names(companies);
  }

  /** Whether it has held the whole market at least once. */
  get isLoaded() {
    return this.#isLoaded;
  }

  /** Companies that are not shown, because there are too many. A lower bound. */
  get hiddenCompanies() {
    return this.#names.hidden;
  }

  /** Every company that is shown, in alphabetical order. @returns {readonly string[]} */
  companies() {
    return this.#names.shown;
  }

  /** The newest average of every company, in alphabetical order. @returns {Average[]} */
  newest() {
    return this.companies().flatMap((company) => this.newestOf(company) ?? []);
  }

  /** @param {string} company @returns {Average | undefined} */
  newestOf(company) {
    return this.#series.get(company)?.newest?.average;
  }

  /** A company's averages, oldest first. @param {string} company @returns {Average[]} */
  recent(company) {
    return this.#series.get(company)?.averages() ?? [];
  }

  /** Whether the averages in memory are all that the database has of the company. @param {string} company */
  isWhole(company) {
    return this.#series.get(company)?.isWhole ?? true;
  }

  /** How many averages are kept of each company. */
  get limitEach() {
    return this.#each;
  }

  /** The companies to read again, each once. */
  takeShort() {
    const short = [...this.#short];
    this.#short.clear();
    this.#isEmptied = false;
    return short;
  }

  get isShort() {
    return this.#short.size > 0;
  }

  /** Whether a company has no averages left, although the database may have some. */
  get isEmptied() {
    return this.#isEmptied;
  }

  /**
   * Adds a document of the collection, which may hold anything, or what became of it.
   * @param {unknown} document
   * @param {object} [options]
   * @param {number} [options.now]        ms since 1970
   * @param {boolean} [options.isUpdate]  the document was just written again: it is fresh even if it shows the same
   */
  add(document, { now = Date.now(), isUpdate = false } = {}) {
    const stored = parseAverage(document, now);
    const id = stored?.average._id ?? idText(/** @type {{_id?: unknown} | undefined} */ (document)?._id);
    const before = this.#companyOf.get(id);
    if (before !== undefined && before !== stored?.average.company) this.#remove(id, before);
    if (!stored) {
      this.emit("skipped");
      return;
    }
    if (!this.#admit(stored.average.company)) return;
    this.#tell(stored.average, this.#put(stored, now, isUpdate));
    this.#trimAll();
  }

  /**
   * Removes an average that was deleted from the database. Most are too old to be here: finding that out costs one
   * look-up.
   * @param {unknown} id
   */
  remove(id) {
    const text = idText(id);
    const company = this.#companyOf.get(text);
    if (company !== undefined) this.#remove(text, company);
  }

  /** A picture to be filled with all that the database has, then passed to `load`. @param {Iterable<string>} names of all companies, each once */
  draft(names) {
    const sorted = new Names(this.#limits.companies, names);
    const share = Math.floor(this.#limits.averages / Math.max(1, sorted.shown.length));
    const each = Math.min(RECENT_AVERAGES, Math.max(LEAST_AVERAGES, share));
    return new Picture(sorted, each, (company) => this.#series.get(company));
  }

  /** Shows another picture, from one moment to the next. @param {Picture} picture */
  load({ names, limitEach, series, news }) {
    this.#names = names;
    this.#each = limitEach;
    this.#series = series;
    this.received += news;
    this.takeShort();
    this.#companyOf = new Map();
    for (const company of names.shown) {
      const averages = series.get(company)?.averages() ?? [];
      for (const { _id } of averages) this.#companyOf.set(_id, company);
    }
    for (const company of [...names.shown]) if (!series.get(company)?.length) this.#forget(company);
    this.#isLoaded = true;
    this.emit("reloaded");
  }

  /**
   * Makes a company what a query of its newest averages found.
   * @param {string} company
   * @param {readonly Stored[]} found  oldest first
   * @param {boolean} isWhole          whether these are all that the database has
   * @param {number} [now]
   */
  refresh(company, found, isWhole, now = Date.now()) {
    const own = found.filter(({ average }) => (this.#companyOf.get(average._id) ?? company) === company);
    const isKnown = this.#series.has(company);
    if ((own.length === 0 && !isKnown) || !this.#admit(company)) return;
    const kept = /** @type {Series} */ (this.#series.get(company));
    const newestBefore = kept.newest;
    const isGap = newestBefore && own[0] && !isWhole && compareStored(newestBefore, own[0]) < 0;
    if (isGap) this.#short.add(company);
    const removed = kept.reconcile(own, isWhole);
    this.#drop(removed);
    let isChanged = removed.length > 0 && !isGap;
    // Older ones than those that are kept belong here too.
    const wasWhole = kept.isWhole;
    kept.isWhole = true;
    for (const stored of own) {
      const isNew = newestBefore ? compareStored(stored, newestBefore) >= 0 : !isKnown;
      if (!isNew) stored.average.seenAt = Math.min(stored.average.time, now);
      const news = this.#put(stored, now, false);
      if (news === "average" && isNew && !isChanged) this.#tell(stored.average, news);
      else isChanged ||= news !== undefined;
    }
    kept.isWhole &&= wasWhole;
    if (kept.length === 0) this.#forget(company);
    if (isChanged) this.emit("changed", company);
    this.#trimAll();
  }

  /**
   * @param {Stored} stored @param {number} now @param {boolean} isUpdate
   * @returns {"average" | "changed" | undefined} what is to be told
   */
  #put(stored, now, isUpdate) {
    const { average } = stored;
    const series = /** @type {Series} */ (this.#series.get(average.company));
    const place = series.placeOf(stored);
    const { twin } = place;
    const isSeen = twin !== undefined && isSame(twin, stored);
    if (isSeen && !isUpdate) return undefined;
    // Its `_id` says when it was made, not when it was updated.
    if ((twin || isUpdate) && !stored.isTimed) average.time = now;
    if (!series.put(stored, place)) return undefined;
    this.#companyOf.set(average._id, average.company);
    this.#drop(series.trim(this.#each));
    if (series.newest === stored) return "average";
    return isSeen ? undefined : "changed";
  }

  /** @param {Average} average @param {"average" | "changed" | undefined} news */
  #tell(average, news) {
    if (news !== undefined) this.received += 1;
    if (news === "average") this.emit("average", average);
    else if (news === "changed") this.emit("changed", average.company);
  }

  /** @param {string} id @param {string} company */
  #remove(id, company) {
    const series = /** @type {Series} */ (this.#series.get(company));
    this.#companyOf.delete(id);
    if (!series.isWhole && series.length < Math.max(2, this.#each / 2)) this.#short.add(company);
    // The last one stays until older ones are read: the company does not vanish for a moment.
    if (series.length === 1 && !series.isWhole) {
      this.#isEmptied = true;
      return;
    }
    series.remove(id);
    if (series.length === 0) this.#forget(company);
    this.emit("changed", company);
  }

  /** Makes room for a company. @param {string} company @returns {boolean} whether it is shown */
  #admit(company) {
    if (this.#series.has(company)) return true;
    const { isShown, displaced } = this.#names.add(company);
    if (!isShown) return false;
    this.#series.set(company, new Series());
    if (displaced !== undefined) {
      this.#drop(this.#series.get(displaced)?.trim(0) ?? []);
      this.#series.delete(displaced);
      this.#short.delete(displaced);
      this.emit("changed", displaced);
    }
    return true;
  }

  /** @param {string} company */
  #forget(company) {
    this.#series.delete(company);
    this.#short.delete(company);
    const promoted = this.#names.remove(company);
    if (promoted === undefined) return;
    const series = new Series();
    series.isWhole = false;
    this.#series.set(promoted, series);
    this.#short.add(promoted);
    this.#isEmptied = true;
  }

  /** @param {readonly Stored[]} removed */
  #drop(removed) {
    for (const { average } of removed) {
      if (this.#companyOf.get(average._id) === average.company) this.#companyOf.delete(average._id);
    }
  }

  /** Keeps fewer averages of each company when there are too many. Rare: each time, a fifth of them goes. */
  #trimAll() {
    while (this.#companyOf.size > this.#limits.averages && this.#each > LEAST_AVERAGES) {
      this.#each = Math.max(LEAST_AVERAGES, Math.floor(this.#each * 0.8));
      for (const series of this.#series.values()) this.#drop(series.trim(this.#each));
    }
  }
}

/** A market that is being read. */
class Picture {
  #before;
  /** @type {Map<string, Series>} */
  series = new Map();
  /** Averages that the market did not have before. */
  news = 0;

  /** @param {Names} names @param {number} limitEach @param {(company: string) => Series | undefined} before */
  constructor(names, limitEach, before) {
    this.names = names;
    this.limitEach = limitEach;
    this.#before = before;
  }

  /** Companies to read. */
  get companies() {
    return this.names.shown;
  }

  /**
   * @param {string} company
   * @param {readonly Stored[]} found  oldest first
   * @param {boolean} isWhole          whether these are all that the database has
   * @param {number} [now]
   */
  add(company, found, isWhole, now = Date.now()) {
    const series = new Series();
    const before = this.#before(company);
    for (const stored of found) {
      const twin = before?.placeOf(stored).twin;
      stored.average.seenAt = Math.min(stored.average.time, now);
      const isKnown = twin !== undefined && isSame(twin, stored);
      if (!isKnown) this.news += 1;
      series.put(isKnown ? twin : stored);
    }
    series.trim(this.limitEach);
    series.isWhole &&= isWhole;
    this.series.set(company, series);
  }
}

/** @typedef {Picture} MarketPicture */
