/**
 * The points of a chart as CSV (RFC 4180), for spreadsheets and programs. Pure.
 */

/** @typedef {import("./picture.js").Track} Track */

const HEADER = [
  "company",
  "time (UTC)",
  "average price (price units)",
  "buy average (price units)",
  "sell average (price units)",
];
const CHANGE = "change from start (%)";
/** A text that begins like this is a formula to a spreadsheet. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
const NEEDS_QUOTES = /[",\r\n]/;

/**
 * Prices have all their digits.
 * @param {readonly Track[]} tracks  the whole of what the chart spans; several are a comparison
 * @param {import("./ranges.js").Span} view  the part that is visible
 */
export function csv(tracks, { from, to }) {
  const isComparison = tracks.length > 1;
  const rows = [isComparison ? [...HEADER, CHANGE] : HEADER];
  for (const { name, points } of tracks) {
    const base = points.avgPrice[0];
    points.time.forEach((time, index) => {
      if (time < from || time > to) return;
      const price = points.avgPrice[index];
      const row = [text(name), isoTime(time), number(price), number(points.buy[index]), number(points.sell[index])];
      if (isComparison) row.push(base === 0 ? "" : number(((price - base) / Math.abs(base)) * 100));
      rows.push(row);
    });
  }
  return rows.map((row) => `${row.join(",")}\r\n`).join("");
}

/** A name for the file, which every system takes. @param {readonly string[]} companies @param {string} range @param {number} now */
export function fileName(companies, range, now) {
  const names = companies
    .join("_")
    .replaceAll(/[^\w.-]+/g, "_")
    .replace(/^[.-]+/, "_");
  return `stockmarket-${names}-${range}-${isoTime(now).slice(0, 19).replaceAll(":", "")}Z.csv`;
}

/** @param {string} value */
function text(value) {
  const safe = FORMULA.test(value) ? `'${value}` : value;
  return NEEDS_QUOTES.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {number | null | undefined} value */
function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? String(value) : "";
}

/** @param {number} time */
function isoTime(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
