/**
 * An average: one document of the collection, made safe. Every consumer may write documents, so nothing in one is
 * trusted: what the contract requires (`company`, `avgPrice`) must be right, or the document is skipped; what it
 * only allows is left out when it is wrong.
 */
import { ObjectId } from "mongodb";
import { MAX_NAME_LENGTH } from "../page/contract.js";

/**
 * @typedef {object} Side
 * @property {number} count             trades on this side of the window
 * @property {number | null} avgPrice   their average; null when there were none
 */

/**
 * As it goes to browsers: plain JSON, dates as milliseconds since 1970 except where the document holds them.
 * @typedef {object} Average
 * @property {string} _id               the document's, as text
 * @property {string} company
 * @property {number} avgPrice          the mean over the whole window
 * @property {number} time              when the window was closed, ms since 1970: what charts have on their x axis
 * @property {number} [count]           trades in the window
 * @property {Side} [buy]
 * @property {Side} [sell]
 * @property {number} [minPrice]
 * @property {number} [maxPrice]
 */

/** An average and where it stands among its company's. @typedef {{average: Average, order: Order}} Stored */

/**
 * Orders documents as the database orders their `_id`, for "newest" is defined by `_id` alone: first by the rank of
 * its type, then by value.
 * @typedef {readonly [rank: number, value: number | string]} Order
 */

/** Fields a reader needs; `trades` and `ledger`, which grow with every redelivery, stay in the database. */
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
 * @param {number} now        ms since 1970; the time of a document that tells none
 * @returns {Stored | undefined} undefined when it is no average
 */
export function parseAverage(document, now) {
  if (!isObject(document)) return undefined;
  const { _id: id, company } = document;
  if (typeof company !== "string" || company.length === 0 || company.length > MAX_NAME_LENGTH) {
    return undefined;
  }
  const avgPrice = asNumber(document.avgPrice);
  if (avgPrice === undefined || id === undefined || id === null) return undefined;

  /** @type {Average} */
  const average = { _id: idText(id), company, avgPrice, time: timeOf(document, now) };
  const count = asNumber(document.count);
  if (count !== undefined) average.count = count;
  const buy = asSide(document.buy);
  if (buy) average.buy = buy;
  const sell = asSide(document.sell);
  if (sell) average.sell = sell;
  const minPrice = asNumber(document.minPrice);
  if (minPrice !== undefined) average.minPrice = minPrice;
  const maxPrice = asNumber(document.maxPrice);
  if (maxPrice !== undefined) average.maxPrice = maxPrice;
  return { average, order: orderOf(id) };
}

/** @param {Order} a @param {Order} b @returns {number} below 0 when `a` is older */
export function compareOrder(a, b) {
  if (a[0] !== b[0]) return a[0] - b[0];
  return a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0;
}

/**
 * Averages as a chart wants them and in few bytes: a list for each field, prices to four decimals.
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

/** @param {number | null | undefined} price */
function rounded(price) {
  return typeof price === "number" ? Math.round(price * 10_000) / 10_000 : null;
}

/** The text that stands for an `_id` of any type. @param {unknown} id */
export function idText(id) {
  if (id instanceof ObjectId) return id.toHexString();
  return typeof id === "string" ? id : String(JSON.stringify(id) ?? id);
}

/** @param {unknown} id @returns {Order} */
function orderOf(id) {
  const number = asNumber(id);
  if (number !== undefined) return [1, number];
  if (typeof id === "string") return [2, id];
  if (id instanceof ObjectId) return [4, id.toHexString()];
  return [3, idText(id)];
}

/** @param {Record<string, unknown>} document @param {number} now */
function timeOf(document, now) {
  const { closedAt, _id: id } = document;
  if (closedAt instanceof Date && Number.isFinite(closedAt.getTime())) return closedAt.getTime();
  return id instanceof ObjectId ? id.getTimestamp().getTime() : now;
}

/** @param {unknown} value @returns {Side | undefined} */
function asSide(value) {
  if (!isObject(value)) return undefined;
  const count = asNumber(value.count);
  if (count === undefined) return undefined;
  return { count, avgPrice: asNumber(value.avgPrice) ?? null };
}

/** A finite number, whichever of the database's number types holds it. @param {unknown} value */
function asNumber(value) {
  const isWrapped = isObject(value) && ["Long", "Decimal128", "Int32", "Double"].includes(String(value._bsontype));
  const number = typeof value === "number" ? value : isWrapped ? Number(String(value)) : Number.NaN;
  return Number.isFinite(number) ? number : undefined;
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  return typeof value === "object" && value !== null;
}
