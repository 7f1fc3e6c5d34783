/**
 * An average: one document of the collection, checked. Any consumer may have written it, so no field is trusted. A
 * document without a valid `company` and `avgPrice` is skipped. An invalid optional field is left out.
 */
import { ObjectId } from "mongodb";
import { MAX_NAME_LENGTH } from "../page/contract.js";
import { compareOrder, idText, orderOf } from "./order.js";

/**
 * @typedef {object} Side
 * @property {number} count             trades on this side of the window
 * @property {number | null} avgPrice   their average; null when there were none
 */

/**
 * An average as it is sent to browsers: plain JSON, times in milliseconds since 1970.
 * @typedef {object} Average
 * @property {string} _id               of the document, as text of at most 100 characters
 * @property {string} company
 * @property {number} avgPrice          the mean over the whole window
 * @property {number} time              when the window was closed, by the clock of its consumer
 * @property {number} seenAt            when the live view got it, by the live view's clock
 * @property {number} [count]           trades in the window
 * @property {Side} [buy]
 * @property {Side} [sell]
 * @property {number} [minPrice]
 * @property {number} [maxPrice]
 */

/**
 * An average, and what is known of it beside.
 * @typedef {object} Stored
 * @property {Average} average
 * @property {import("./order.js").Order} order   sorts it among its company's: the newest has the highest `_id`
 * @property {boolean} isTimed                    whether the document says when its window was closed
 */

const OPTIONAL = /** @type {const} */ (["count", "buy", "sell", "minPrice", "maxPrice"]);

/** The fields to read. `trades` and `ledger` are large, so they stay in the database. */
export const PROJECTION = Object.freeze({
  company: 1,
  avgPrice: 1,
  count: 1,
  buy: 1,
  sell: 1,
  minPrice: 1,
  maxPrice: 1,
  closedAt: 1,
});

/**
 * @param {unknown} document  anything found in the collection
 * @param {number} now        ms since 1970; used for a document without a time
 * @returns {Stored | undefined} undefined when it is not an average
 */
export function parseAverage(document, now) {
  if (!isObject(document)) return undefined;
  const { _id: id, company, closedAt } = document;
  if (!isName(company)) return undefined;
  const avgPrice = asNumber(document.avgPrice);
  if (avgPrice === undefined || id === undefined) return undefined;

  const isTimed = closedAt instanceof Date && Number.isFinite(closedAt.getTime());
  const time = isTimed ? closedAt.getTime() : id instanceof ObjectId ? id.getTimestamp().getTime() : now;
  const order = orderOf(id);
  // The same string twice, so that it takes its memory once.
  const _id = id instanceof ObjectId ? String(order.value) : idText(id);
  const count = asNumber(document.count);
  const buy = asSide(document.buy);
  const sell = asSide(document.sell);
  const minPrice = asNumber(document.minPrice);
  const maxPrice = asNumber(document.maxPrice);
  /** @type {Average} */
  const average = { _id, company, avgPrice, time, seenAt: now, count, buy, sell, minPrice, maxPrice };
  // An object that is made at once takes the least memory. In most documents nothing is missing.
  for (const name of OPTIONAL) if (average[name] === undefined) delete average[name];
  return { average, order, isTimed };
}

/** Whether a company can have this name. @param {unknown} company @returns {company is string} */
export function isName(company) {
  return typeof company === "string" && company.length > 0 && company.length <= MAX_NAME_LENGTH;
}

/** Sorts averages as the database sorts their `_id`. @param {Stored} a @param {Stored} b */
export function compareStored(a, b) {
  const difference = compareOrder(a.order, b.order);
  // Only the beginning of a long `_id` is compared: its text tells it apart.
  if (difference !== 0 || a.average._id === b.average._id) return difference;
  return a.average._id < b.average._id ? -1 : 1;
}

/** Whether both show the same, apart from when they were seen. @param {Stored} a @param {Stored} b */
export function isSame(a, b) {
  const [one, other] = [a.average, b.average];
  return (
    one.avgPrice === other.avgPrice &&
    one.count === other.count &&
    one.minPrice === other.minPrice &&
    one.maxPrice === other.maxPrice &&
    isSameSide(one.buy, other.buy) &&
    isSameSide(one.sell, other.sell) &&
    (!a.isTimed || !b.isTimed || one.time === other.time)
  );
}

/** @param {Side | undefined} a @param {Side | undefined} b */
function isSameSide(a, b) {
  return a?.count === b?.count && a?.avgPrice === b?.avgPrice;
}

/**
 * Averages as the charts take them: one list for each field, prices rounded to save bytes.
 * @param {Average[]} averages  oldest first
 */
export function columns(averages) {
  return {
    time: averages.map(({ time }) => time),
    avgPrice: averages.map(({ avgPrice }) => rounded(avgPrice)),
    buy: averages.map(({ buy }) => rounded(buy?.avgPrice)),
    sell: averages.map(({ sell }) => rounded(sell?.avgPrice)),
  };
}

/** To four decimals, tiny prices to six digits. Huge ones stay as they are. @param {number | null | undefined} price */
function rounded(price) {
  if (typeof price !== "number") return null;
  const size = Math.abs(price);
  if (size < 1) return Number(price.toPrecision(6));
  return size < 1e9 ? Math.round(price * 10_000) / 10_000 : price;
}

/** @param {unknown} value @returns {Side | undefined} */
function asSide(value) {
  if (!isObject(value)) return undefined;
  const count = asNumber(value.count);
  if (count === undefined) return undefined;
  return { count, avgPrice: asNumber(value.avgPrice) ?? null };
}

/** A finite number, of any of the database's number types. @param {unknown} value */
function asNumber(value) {
  const isWrapped = isObject(value) && ["Long", "Decimal128", "Int32", "Double"].includes(String(value._bsontype));
  const number = typeof value === "number" ? value : isWrapped ? Number(String(value)) : Number.NaN;
  return Number.isFinite(number) ? number : undefined;
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  return typeof value === "object" && value !== null;
}
