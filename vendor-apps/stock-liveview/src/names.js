/**
 * The names of all companies, in the order of the page. Only the first ones are shown: so every live view shows the
 * same. Adding a name takes a binary search.
 */

/** Names that are known, in multiples of those shown. A faulty consumer cannot fill the memory. */
const KNOWN = 10;

const { compare } = new Intl.Collator("en");

/** @param {string} a @param {string} b */
function alphabetical(a, b) {
  // Different names may be equal to the collator.
  return compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

export class Names {
  #limit;
  /** @type {string[]} */
  #sorted;
  /** @type {readonly string[] | undefined} */
  #shown;

  /** @param {number} limit  how many are shown @param {Iterable<string>} [names]  each once */
  constructor(limit, names = []) {
    this.#limit = limit;
    this.#sorted = [...names].sort(alphabetical).slice(0, limit * KNOWN);
  }

  /** @returns {readonly string[]} */
  get shown() {
    this.#shown ??= this.#sorted.slice(0, this.#limit);
    return this.#shown;
  }

  /** How many are not shown. */
  get hidden() {
    return Math.max(0, this.#sorted.length - this.#limit);
  }

  /**
   * @param {string} name
   * @returns {{isShown: boolean, displaced?: string}} which other name is not shown any more
   */
  add(name) {
    const index = this.#indexOf(name);
    if (this.#sorted[index] !== name) {
      this.#shown = undefined;
      this.#sorted.splice(index, 0, name);
      if (this.#sorted.length > this.#limit * KNOWN) this.#sorted.pop();
      if (index < this.#limit) return { isShown: true, displaced: this.#sorted[this.#limit] };
    }
    return { isShown: index < this.#limit };
  }

  /** @param {string} name @returns {string | undefined} which other name is shown instead */
  remove(name) {
    const index = this.#indexOf(name);
    if (this.#sorted[index] !== name) return undefined;
    this.#shown = undefined;
    this.#sorted.splice(index, 1);
    return index < this.#limit ? this.#sorted[this.#limit - 1] : undefined;
  }

  /** Where a name is, or belongs. @param {string} name */
  #indexOf(name) {
    let [from, to] = [0, this.#sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (alphabetical(this.#sorted[middle], name) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
