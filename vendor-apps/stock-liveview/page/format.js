/**
 * Numbers and times for people. Pure.
 */

/** Prices below 1 have this many significant digits. */
const SMALL_DIGITS = 4;
/** Larger numbers are shortened: 1.23B. */
const LARGE = 1e9;
/** Beyond these, numbers have an exponent. */
const HUGE = 1e15;
const TINY = 1e-7;
/** Nobody reads the decimals of a larger percentage. */
const LARGE_PERCENT = 1000;

/** @param {Intl.NumberFormatOptions} options */
const numbers = (options) => new Intl.NumberFormat("en-US", options);
const PRICE = numbers({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const SMALL = numbers({ maximumSignificantDigits: SMALL_DIGITS });
const COMPACT = numbers({ notation: "compact", maximumFractionDigits: 2 });
const SCIENTIFIC = numbers({ notation: "scientific", maximumFractionDigits: 2 });
const COUNT = numbers({ maximumFractionDigits: 0 });
/** Formats with a fixed number of decimals. @type {Map<number, Intl.NumberFormat>} */
const fixed = new Map();

/** @param {Intl.DateTimeFormatOptions} options */
const times = (options) => new Intl.DateTimeFormat("en-GB", options);
const CLOCK = times({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const ZONED_CLOCK = times({ hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const DAY_AND_CLOCK = times({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** A price in at most a dozen characters. @param {number | null | undefined} value */
export function price(value) {
  return typeof value === "number" && Number.isFinite(value) ? minus(shortest(value)) : "–";
}

/** @param {number} value */
function shortest(value) {
  const size = Math.abs(value);
  if (size >= HUGE) return SCIENTIFIC.format(value);
  if (size >= LARGE) return COMPACT.format(value);
  if (size === 0) return PRICE.format(0);
  if (size < TINY) return SCIENTIFIC.format(value);
  const decimals = decimalsOf(value);
  return decimals > 2 ? withDecimals(value, decimals) : PRICE.format(value);
}

/** Decimals that a price is shown with: two, or as many as a price below 1 needs. @param {number} value */
function decimalsOf(value) {
  const size = Math.abs(value);
  if (size >= 1 || size < TINY) return 2;
  const [, fraction = ""] = SMALL.format(size).split(".");
  return Math.max(fraction.length, 2);
}

/** @param {number} value @param {number} decimals */
function withDecimals(value, decimals) {
  let format = fixed.get(decimals);
  if (!format) {
    format = numbers({ minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    fixed.set(decimals, format);
  }
  return format.format(value);
}

/** A distance from a price, with the decimals of that price. @param {number} distance @param {number} from */
export function distance(distance, from) {
  const isOrdinary = distance < LARGE && Math.abs(from) >= TINY;
  return isOrdinary ? withDecimals(distance, decimalsOf(from)) : price(distance);
}

/** The number as it was stored, for where it is shown shortened. @param {number | null | undefined} value */
export function exact(value) {
  return typeof value === "number" ? minus(String(value)) : "";
}

/** A price, split before its decimal point. @param {number} value @returns {[whole: string, fraction: string]} */
export function priceParts(value) {
  const text = price(value);
  const point = text.indexOf(".");
  return point < 0 ? [text, ""] : [text.slice(0, point), text.slice(point)];
}

/** @param {number} value */
export function count(value) {
  return value < LARGE ? COUNT.format(value) : COMPACT.format(value);
}

/** @param {number} value */
export function signed(value) {
  return withSign(value, PRICE.format(Math.abs(value)));
}

/**
 * The change from one price to another, with as many decimals as the prices have.
 * @param {number} from @param {number} to
 * @returns {{direction: "up" | "down" | "same", amount: string, percent: string, text: string}}
 */
export function change(from, to) {
  const difference = to - from;
  const percent = from === 0 ? "" : percentage((difference / Math.abs(from)) * 100);
  const amount = withSign(difference, amountText(Math.abs(difference), from, to, /[1-9]/.test(percent)));
  // A change of which nothing is seen is none.
  const direction = /[1-9]/.test(amount + percent) ? (difference > 0 ? "up" : "down") : "same";
  return { direction, amount, percent, text: percent ? `${amount} (${percent})` : amount };
}

/** @param {number} size @param {number} from @param {number} to @param {boolean} isNotable  never told as 0.00 */
function amountText(size, from, to, isNotable) {
  if (size >= LARGE) return shortest(size);
  const largest = Math.max(Math.abs(from), Math.abs(to));
  if (largest < TINY) return size === 0 ? PRICE.format(0) : SCIENTIFIC.format(size);
  const decimals = largest < 1 ? Math.max(decimalsOf(from), decimalsOf(to)) : 2;
  const isSeen = !isNotable || size >= 0.5 * 10 ** -decimals;
  return withDecimals(size, isSeen ? decimals : 1 - Math.floor(Math.log10(size)));
}

/** @param {number} value */
function percentage(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(size)) return "";
  if (size < LARGE_PERCENT) return `${withSign(value, PRICE.format(size))} %`;
  const format = size < 1e6 ? COUNT : size < HUGE ? COMPACT : SCIENTIFIC;
  return `${withSign(value, format.format(size))} %`;
}

/** Zero has no sign. @param {number} value @param {string} text  of its size */
function withSign(value, text) {
  if (!/[1-9]/.test(text)) return text;
  return `${value < 0 ? "−" : "+"}${minus(text)}`;
}

/** @param {string} text */
function minus(text) {
  return text.replaceAll("-", "−");
}

/** How long ago. @param {number} ms */
export function ago(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 2) return "just now";
  return `${duration(seconds)} ago`;
}

/** @param {number} seconds */
function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "1 day" : `${days} days`;
}

/** A short time span: 0.1 s, 12 s, 3 min. @param {number} ms */
export function span(ms) {
  return ms < 10_000 ? `${(Math.max(ms, 0) / 1000).toFixed(1)} s` : duration(Math.floor(ms / 1000));
}

/** A time of day. @param {number} time  ms since 1970 */
export function clock(time) {
  return CLOCK.format(time);
}

/** A time of day, with the name of its zone. @param {number} time  ms since 1970 */
export function zonedClock(time) {
  return ZONED_CLOCK.format(time);
}

/** A time, with its day when it is more than twelve hours away. @param {number} time @param {number} now */
export function when(time, now) {
  return Math.abs(now - time) < 12 * 3_600_000 ? CLOCK.format(time) : DAY_AND_CLOCK.format(time);
}
