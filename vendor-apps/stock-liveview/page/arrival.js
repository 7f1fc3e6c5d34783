/**
 * When a company's newest window reached the page, and how long that took. Pure.
 */

/** @typedef {import("./store.js").Newest} Newest */

export class Arrival {
  /** @type {Newest | undefined} */
  #newest;
  /** When the newest window arrived, by the live view's clock, ms. */
  arrivedAt = 0;
  /** From the window's end to the page, by two machines' clocks, ms; undefined when not known. @type {number | undefined} */
  delayMs;

  /** @param {Newest} newest @param {number} now  ms since 1970, by the live view's clock */
  see(newest, now) {
    const before = this.#newest;
    this.#newest = newest;
    if (!before) {
      // It was there before this view.
      this.arrivedAt = newest.seenAt;
      this.delayMs = newest.seenAt === newest.time ? undefined : newest.seenAt - newest.time;
    } else if (before._id !== newest._id || before.time !== newest.time || before.avgPrice !== newest.avgPrice) {
      this.arrivedAt = now;
      this.delayMs = now - newest.time;
    }
  }
}
