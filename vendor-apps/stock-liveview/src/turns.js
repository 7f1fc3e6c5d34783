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

/**
 * Does something with each item, with several at the same time. After a failure it begins none, and waits for those that
 * have begun.
 * @template T
 * @param {Iterable<T>} items
 * @param {number} limit
 * @param {(item: T) => Promise<void>} operation
 */
export async function forEachOf(items, limit, operation) {
  const rest = [...items].reverse();
  const worker = async () => {
    while (rest.length > 0) {
      try {
        await operation(/** @type {T} */ (rest.pop()));
      } catch (error) {
        rest.length = 0;
        throw error;
      }
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: limit }, worker));
  const failed = workers.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
