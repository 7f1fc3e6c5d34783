/**
 * The market: the newest averages of every company, in memory. It depends on neither the database nor the browsers.
 * The cost of adding an average does not depend on the size of the collection.
 */
import { EventEmitter } from "node:events";
import { RECENT_AVERAGES } from "../page/contract.js";
import { compareOrder, parseAverage } from "./average.js";

/** @typedef {import("./average.js").Average} Average */
/** @typedef {import("./average.js").Stored} Stored */

/** Limit of companies, so that a faulty consumer cannot fill the memory. */
const MAX_COMPANIES = 5000;

const alphabetical = new Intl.Collator("en").compare;

/**
 * Events:
 * - `average` (Average): a new average. Emitted once, even when the same average is added again.
 * - `replaced` (): anything else changed. Read the whole state again.
 * - `skipped` (): a document was not an average, or there were too many companies.
 * @extends {EventEmitter<{average: [Average], changed: [string], reloaded: [], skipped: []}>}
 */
export class Market extends EventEmitter {
  /** Oldest first, by company. @type {Map<string, Stored[]>} */
  #recent = new Map();

  /** The company of each average, by `_id`. @type {Map<string, string>} */
  #companyOf = new Map();

  /** Names in the order of the page. @type {string[]} */
  #companies = [];

  /**
   * Adds a document of the collection, which may hold anything.
   * @param {unknown} document
   * @param {number} [now]  ms since 1970
   */
  add(document, now = Date.now()) {
    const stored = parseAverage(document, now);
    if (!stored || !this.#list(stored.average.company)) {
      this.emit("skipped");
      return;
    }
    const { _id: id, company } = stored.average;
    if ((this.#companyOf.get(id) ?? company) !== company) this.remove(id);
    this.#insert(stored);
  }

  /**
   * Removes an average that was deleted from the database. Most are too old to be here: finding that out costs one
   * look-up.
   * @param {string} id
   */
  remove(id) {
    const company = this.#companyOf.get(id);
    if (company === undefined) return;
    const recent = /** @type {Stored[]} */ (this.#recent.get(company));
    const index = recent.findIndex(({ average }) => average._id === id);
    recent.splice(index, 1);
    this.#companyOf.delete(id);
    if (recent.length === 0) this.#forget(company);
    this.emit("changed", company);
  }

  /** Removes everything: the collection was dropped. */
  clear() {
    this.#recent.clear();
    this.#companyOf.clear();
    this.#companies = [];
    this.emit("reloaded");
  }

  /** Every company, in alphabetical order. @returns {readonly string[]} */
  companies() {
    return this.#companies;
  }

  /** The newest average of every company, in alphabetical order. @returns {Average[]} */
  newest() {
    return this.#companies.flatMap((company) => this.#recent.get(company)?.at(-1)?.average ?? []);
  }

  isLoaded = false;

  /** @param {unknown[]} documents */
  replace(documents) {
    this.clear();
    for (const document of documents) this.add(document);
    this.loaded();
  }

  loaded() {
    this.isLoaded = true;
    this.emit("reloaded");
  }
  hiddenCompanies = 0;

  /** @param {string} company @returns {Average | undefined} */
  newestOf(company) {
    return this.#recent.get(company)?.at(-1)?.average;
  }

  /** A company's averages, oldest first. @param {string} company @returns {Average[]} */
  recent(company) {
    return (this.#recent.get(company) ?? []).map(({ average }) => average);
  }

  /** A company's list, created when needed; undefined when there are too many companies. @param {string} company */
  #list(company) {
    const known = this.#recent.get(company);
    if (known) return known;
    if (this.#companies.length >= MAX_COMPANIES) return undefined;
    /** @type {Stored[]} */
    const list = [];
    this.#recent.set(company, list);
    this.#companies = [...this.#companies, company].sort(alphabetical);
    return list;
  }

  /** @param {string} company */
  #forget(company) {
    this.#recent.delete(company);
    this.#companies = this.#companies.filter((other) => other !== company);
  }

  /** @param {Stored} stored */
  #insert(stored) {
    const recent = /** @type {Stored[]} */ (this.#recent.get(stored.average.company));
    // From the end: nearly every average is its company's newest.
    let index = recent.length;
    while (index > 0 && compareOrder(recent[index - 1].order, stored.order) > 0) index -= 1;

    const twin = recent[index - 1];
    if (twin && compareOrder(twin.order, stored.order) === 0) {
      // Keeps the time: for a document without one, it is the time when it first arrived.
      const { time } = twin.average;
      const changed = { ...stored.average, time };
      if (JSON.stringify(twin.average) === JSON.stringify(changed)) return;
      recent[index - 1] = { average: changed, order: stored.order };
      this.emit("changed", stored.average.company);
      return;
    }
    const isOlderThanAllKept = index === 0 && recent.length >= RECENT_AVERAGES;
    if (isOlderThanAllKept) return;
    recent.splice(index, 0, stored);
    this.#companyOf.set(stored.average._id, stored.average.company);
    if (recent.length > RECENT_AVERAGES) {
      const oldest = /** @type {Stored} */ (recent.shift());
      this.#companyOf.delete(oldest.average._id);
    }
    this.emit("average", stored.average);
  }
}
