/**
 * A company's newest averages, oldest first. It knows whether the database has older ones.
 */
import { compareStored } from "./average.js";

/** @typedef {import("./average.js").Average} Average */
/** @typedef {import("./average.js").Stored} Stored */

/** @type {readonly Stored[]} */
const NONE = [];

export class Series {
  /** @type {Stored[]} */
  #stored = [];

  /** Whether it holds all that the database has of the company. */
  isWhole = true;

  get length() {
    return this.#stored.length;
  }

  /** @returns {Stored | undefined} */
  get newest() {
    return this.#stored.at(-1);
  }

  /** @returns {Average[]} */
  averages() {
    return this.#stored.map(({ average }) => average);
  }

  /** Where an average is, or belongs. @param {Stored} stored @returns {{index: number, twin?: Stored}} its twin has the same `_id` */
  placeOf(stored) {
    const index = this.#indexOf(stored);
    const found = this.#stored[index];
    return { index, twin: found?.average._id === stored.average._id ? found : undefined };
  }

  /**
   * Adds an average, or puts it in the place of its twin.
   * @param {Stored} stored
   * @param {ReturnType<Series["placeOf"]>} [place]
   * @returns {boolean} false when it is older than all that are kept, and so does not belong here
   */
  put(stored, { index, twin } = this.placeOf(stored)) {
    if (twin) {
      this.#stored[index] = stored;
      return true;
    }
    if (index === 0 && !this.isWhole) return false;
    if (index === this.#stored.length) this.#stored.push(stored);
    else this.#stored.splice(index, 0, stored);
    return true;
  }

  /** @param {string} id @returns {boolean} whether it was here */
  remove(id) {
    const index = this.#stored.findIndex(({ average }) => average._id === id);
    if (index >= 0) this.#stored.splice(index, 1);
    return index >= 0;
  }

  /** Removes the oldest, so that at most `limit` stay. @param {number} limit @returns {readonly Stored[]} the removed ones */
  trim(limit) {
    if (this.#stored.length <= limit) return NONE;
    this.isWhole = false;
    return this.#stored.splice(0, this.#stored.length - limit);
  }

  /**
   * Removes what a query of the company's newest documents should have found, but did not.
   * @param {readonly Stored[]} found   oldest first
   * @param {boolean} isWhole           whether the query found all that the database has
   * @returns {Stored[]} the removed ones
   */
  reconcile(found, isWhole) {
    const ids = new Set(found.map(({ average }) => average._id));
    const since = isWhole || !found[0] ? 0 : this.#indexOf(found[0]);
    // Between those that are kept and those that were found, there may be others.
    const isGap = !isWhole && since === this.#stored.length;
    const before = this.#stored;
    this.#stored = before.filter(({ average }, index) => (index < since && !isGap) || ids.has(average._id));
    this.isWhole = isWhole || (this.isWhole && !isGap);
    return before.filter(({ average }, index) => (index >= since || isGap) && !ids.has(average._id));
  }

  /** Where an average is, or belongs. Searches from the end: nearly every average is its company's newest. @param {Stored} stored */
  #indexOf(stored) {
    let [from, to] = [0, this.#stored.length];
    let middle = to - 1;
    while (from < to) {
      if (compareStored(this.#stored[middle], stored) < 0) from = middle + 1;
      else to = middle;
      middle = (from + to) >> 1;
    }
    return from;
  }
}
