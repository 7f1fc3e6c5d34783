/**
 * Numbers and times for people. Pure.
 */

const PRICE = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const SIGNED = new Intl.NumberFormat("en-US", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: "exceptZero",
});
const COUNT = new Intl.NumberFormat("en-US");
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/** @param {number | null | undefined} price */
export function price(price) {
  return typeof price === "number" ? PRICE.format(price).replace("-", "−") : "–";
}

/** A price, split before its decimal point. @param {number} value @returns {[whole: string, fraction: string]} */
export function priceParts(value) {
  const [whole, fraction] = price(value).split(".");
  return [whole, `.${fraction}`];
}

/** @param {number} value */
export function count(value) {
  return COUNT.format(value);
}

/** @param {number} value */
export function signed(value) {
  return SIGNED.format(value).replace("-", "−");
}

/**
 * The change from one average to the next.
 * @param {number} from @param {number} to
 * @returns {{direction: "up" | "down" | "same", text: string}}
 */
export function change(from, to) {
  const difference = to - from;
  const text = signed(difference);
  // A change that rounds to 0.00 is shown as none.
  const direction = /[1-9]/.test(text) ? (difference > 0 ? "up" : "down") : "same";
  const percent = from === 0 ? "" : ` (${signed((difference / Math.abs(from)) * 100)} %)`;
  return { direction, text: text + percent };
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

/** A time of day. @param {number} time  ms since 1970 */
export function clock(time) {
  return CLOCK.format(time);
}

/** A time, with its day when it is more than twelve hours away. @param {number} time @param {number} now */
export function when(time, now) {
  return Math.abs(now - time) < 12 * 3_600_000 ? CLOCK.format(time) : DAY_AND_CLOCK.format(time);
}
