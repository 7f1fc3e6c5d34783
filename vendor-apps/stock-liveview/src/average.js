/**
 * An average: one document of the collection, checked. Any consumer may have written it, so no field is trusted. A
 * document without a valid `company` and `avgPrice` is skipped. An invalid optional field is left out.
 */
import { ObjectId } from "mongodb";
import { MAX_NAME_LENGTH } from "../page/contract.js";

/**
 * @typedef {object} Side
 * @property {number} count             trades on this side of the window
 * @property {number | null} avgPrice   their average; null when there were none
 */

/**
 * An average as it is sent to browsers: plain JSON, times in milliseconds since 1970.
 * @typedef {object} Average
 * @property {string} _id               of the document, as text
 * @property {string} company
 * @property {number} avgPrice          the mean over the whole window
 * @property {number} time              when the window was closed, ms since 1970; the x axis of charts
 * @property {number} seenAt            when the live view got it
 * @property {number} [count]           trades in the window
 * @property {Side} [buy]
 * @property {Side} [sell]
 * @property {number} [minPrice]
 * @property {number} [maxPrice]
 */

/** An average, and its sort key among its company's. @typedef {{average: Average, order: Order}} Stored */

/**
 * Sorts documents as the database sorts their `_id`: by the rank of its type, then by value. The newest average is the
 * one with the highest `_id`.
 * @typedef {readonly [rank: number, value: number | string]} Order
 */

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
  const { _id: id, company } = document;
  if (typeof company !== "string" || company.length === 0 || company.length > MAX_NAME_LENGTH) {
    return undefined;
  }
  const avgPrice = asNumber(document.avgPrice);
  if (avgPrice === undefined || id === undefined || id === null) return undefined;

  /** @type {Average} */
  const average = { _id: idText(id), company, avgPrice, time: timeOf(document, now), seenAt: now };
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
 * Averages as the charts take them: one list for each field, prices rounded to four decimals to save bytes.
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

/** An `_id` of any type as text. @param {unknown} id */
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
