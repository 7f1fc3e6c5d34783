/**
 * What the page and the live view agree on. The server imports this module too.
 */

/** Subprotocol of the page's WebSocket. The README describes its messages. */
export const SUBPROTOCOL = "stockmarket.live.1";

/** Length limit of a company's name, in UTF-16 units. Documents with a longer name are skipped. */
export const MAX_NAME_LENGTH = 64;

/** Averages of one company that a live view and the page keep: five minutes at the default rate. */
export const RECENT_AVERAGES = 300;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Ranges of `/history`: their length in ms, and their label on the page. */
export const RANGES = Object.freeze({
  "15m": { ms: 15 * MINUTE, label: "15 min" },
  "1h": { ms: HOUR, label: "1 h" },
  "6h": { ms: 6 * HOUR, label: "6 h" },
  "1d": { ms: DAY, label: "1 day" },
  "7d": { ms: 7 * DAY, label: "7 days" },
});

/** @typedef {keyof typeof RANGES} RangeName */

/** @param {string} name @returns {name is RangeName} */
export function isRange(name) {
  return Object.hasOwn(RANGES, name);
}
