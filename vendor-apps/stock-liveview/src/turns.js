/** Limits how many operations run at the same time. The others wait for their turn, first come, first served. */
export class Turns {
  #free;
  /** @type {Array<() => void>} */
  #waiting = [];

  /** @param {number} limit */
  constructor(limit) {
    this.#free = limit;
  }

  /** @template T @param {() => Promise<T>} operation @returns {Promise<T>} */
  async take(operation) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    try {
      return await operation();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
