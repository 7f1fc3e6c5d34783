/**
 * How fresh the prices are, in words: the status in the head, what it means, and the line in the foot.
 */
import { byId, setData, setText } from "./dom.js";
import { ago, span, zonedClock } from "./format.js";

/** Delays of so many windows tell the usual one. */
const DELAYS = 50;
/** A feed further behind than this is worth a word. */
const NOTABLE_LAG_MS = 1000;

/** @typedef {import("./status.js").Status} Status */
/** @typedef {{companies: readonly import("./store.js").Company[], condition: {lagMs: number, server: string}, now: number}} Facts */

export class Freshness {
  /** Newest last, ms. @type {number[]} */
  #delays = [];

  /** Notes how long averages took from the closing of their windows until here. @param {readonly {time: number}[]} averages @param {number} now */
  note(averages, now) {
    this.#delays.push(...averages.map(({ time }) => now - time));
    this.#delays.splice(0, this.#delays.length - DELAYS);
  }

  /** @param {Status} status @param {Facts} facts */
  show({ state, text, why }, { companies, condition: { lagMs, server }, now }) {
    setData(byId("status"), "state", state);
    setText(byId("status-text"), text);
    // It needs no word before there is anything to be old.
    const isNotice = state === "stale" || state === "reconnecting";
    byId("notice").hidden = !isNotice;
    setText(byId("notice"), isNotice ? why : "");
    setText(byId("status-spoken"), state === "live" ? "Live" : state === "waiting" ? why : "");

    const lastSeen = companies.reduce((latest, { newest }) => Math.max(latest, newest.seenAt), 0);
    const delay = this.#usualDelay();
    setText(byId("status-why"), why);
    setText(byId("fact-last"), lastSeen ? `${zonedClock(lastSeen)}, ${ago(now - lastSeen)}` : "–");
    setText(byId("fact-delay"), delay === undefined ? "–" : delayText(delay));
    setText(byId("fact-lag"), lagMs > NOTABLE_LAG_MS ? span(lagMs) : "none");
    setText(byId("fact-server"), server || "–");

    setText(byId("server"), server ? `Served by ${server}` : "");
    setText(byId("clock"), footText(now, delay, lagMs));
  }

  /** The median; undefined before the first window. */
  #usualDelay() {
    const sorted = this.#delays.toSorted((a, b) => a - b);
    return sorted.length > 0 ? sorted[Math.floor(sorted.length / 2)] : undefined;
  }
}

/** A consumer's clock may be ahead. @param {number} delay */
function delayText(delay) {
  return delay < -1000 ? `none: the consumer’s clock is ${span(-delay)} ahead` : span(delay);
}

/** @param {number} now @param {number | undefined} delay @param {number} lagMs */
function footText(now, delay, lagMs) {
  const parts = [zonedClock(now)];
  if (delay !== undefined && delay >= -1000) parts.push(`${span(delay)} from window to page`);
  if (lagMs > NOTABLE_LAG_MS) parts.push(`${span(lagMs)} behind the database`);
  return parts.join(" · ");
}
