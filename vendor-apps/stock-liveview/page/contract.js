/**
 * What the page and the live view agree on. The server imports this module too.
 */

/** Subprotocol of the page's WebSocket. The README describes its messages. */
export const SUBPROTOCOL = "stockmarket.live.2";

/**
 * All versions of the subprotocol begin with this. A client of another version gets only `alive`, so that it learns that
 * there is a new page.
 */
export const SUBPROTOCOL_FAMILY = "stockmarket.live.";

/** Length limit of a company's name, in UTF-16 units. Documents with a longer name are skipped. */
export const MAX_NAME_LENGTH = 64;

/** Averages of one company that a live view and the page keep: five minutes at the default rate. */
export const RECENT_AVERAGES = 300;

/** Points in one answer of `recent`, over all of its companies: at most about 256 KiB. */
export const MAX_RECENT_POINTS = 3000;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Ranges of `history`: their length in ms, and their label on the page. */
export const RANGES = Object.freeze({
  "15m": { ms: 15 * MINUTE, label: "15 min" },
  "1h": { ms: HOUR, label: "1 h" },
  "6h": { ms: 6 * HOUR, label: "6 h" },
  "1d": { ms: DAY, label: "1 day" },
  "7d": { ms: 7 * DAY, label: "7 days" },
});

/** How long ago `past` tells the prices of, in ms. */
export const PAST = Object.freeze({ "5m": 5 * MINUTE, "1h": HOUR, "1d": DAY });

/** @typedef {keyof typeof RANGES} RangeName */
/** @typedef {keyof typeof PAST} PastName */

/** @param {string} name @returns {name is RangeName} */
export function isRange(name) {
  return Object.hasOwn(RANGES, name);
}

/** @param {string} name @returns {name is PastName} */
export function isPast(name) {
  return Object.hasOwn(PAST, name);
}
