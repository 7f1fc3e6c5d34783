/**
 * What of the page is in its address, so that a link shows the same to others: the company after `#`, everything else in
 * the query. Pure.
 */
import { isPast, isRange } from "./contract.js";

/** Columns that the table can be sorted by. */
const COLUMNS = Object.freeze(["symbol", "price", "change", "volume", "low", "high", "updated"]);

/** The price that a change is told against: the one when the page was opened. */
const SINCE_OPEN = "open";

/** @typedef {{column: string, isDescending: boolean}} Sort */
/** What a change is told against. @typedef {import("./contract.js").PastName | typeof SINCE_OPEN} ChangeName */

/**
 * @typedef {object} Address
 * @property {string} company              whose view it is; empty for the overview
 * @property {"cards" | "table" | ""} view  empty: cards for a few companies, a table for many
 * @property {Sort} sort
 * @property {string} q                    what is searched for
 * @property {ChangeName} change
 * @property {string} range                of the chart; empty for the newest windows
 * @property {string[]} with               companies to compare with
 * @property {boolean} kiosk               for a screen on the wall
 */

/** @param {{search: string, hash: string}} location @returns {Address} */
export function read({ search, hash }) {
  const query = new URLSearchParams(search);
  const view = query.get("view") ?? "";
  const change = query.get("change") ?? "";
  const range = query.get("range") ?? "";
  return {
    company: decoded(hash.slice(1)),
    view: view === "cards" || view === "table" ? view : "",
    sort: readSort(query.get("sort") ?? ""),
    q: query.get("q") ?? "",
    change: isPast(change) ? change : SINCE_OPEN,
    range: isRange(range) ? range : "",
    with: (query.get("with") ?? "").split(",").filter(Boolean).map(decoded),
    kiosk: query.has("kiosk"),
  };
}

/**
 * The address, relative to the page. What is as usual is left out.
 * @param {Address} state
 */
export function write({ company, view, sort, q, change, range, with: others, kiosk }) {
  const parts = [
    view && `view=${view}`,
    (sort.column !== "symbol" || sort.isDescending) && `sort=${sort.isDescending ? "-" : ""}${sort.column}`,
    q && `q=${encodeURIComponent(q)}`,
    change !== SINCE_OPEN && `change=${change}`,
    range && `range=${range}`,
    others.length > 0 && `with=${others.map(encodeListed).join(",")}`,
    kiosk && "kiosk",
  ].filter(Boolean);
  const query = parts.length > 0 ? `?${parts.join("&")}` : "";
  return `./${query}${company && `#${encodeURIComponent(company)}`}`;
}

/** @param {string} text */
function readSort(text) {
  const isDescending = text.startsWith("-");
  const column = isDescending ? text.slice(1) : text;
  return COLUMNS.includes(column) ? { column, isDescending } : { column: "symbol", isDescending: false };
}

/** A name in a list: its own commas are encoded once more than the ones between names. @param {string} name */
function encodeListed(name) {
  return encodeURIComponent(name.replaceAll("%", "%25").replaceAll(",", "%2C"));
}

/** People type symbols as they are. @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
