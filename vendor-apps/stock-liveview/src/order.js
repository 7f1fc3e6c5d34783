/**
 * The order of documents: that of their `_id` in the database, which may be of any type. Each `_id` also has a text,
 * which tells documents apart. Both have a limited size, also for an `_id` of megabytes.
 */
import { createHash } from "node:crypto";
import { ObjectId } from "mongodb";

/**
 * A sort key. Values of the same rank are of the same type.
 * @typedef {object} Order
 * @property {number} rank
 * @property {Value} value
 */
/** @typedef {number | bigint | string | ReadonlyArray<readonly [name: string, order: Order]>} Value */

/** The database sorts by type first, in this order. All types of numbers are one type. */
const RANK = Object.freeze({
  minKey: 1,
  null: 2,
  notANumber: 3,
  number: 4,
  text: 5,
  object: 6,
  array: 7,
  binary: 8,
  objectId: 9,
  boolean: 10,
  date: 11,
  timestamp: 12,
  other: 13,
  maxKey: 14,
});

/** Length limit of an `_id`'s text. */
const MAX_TEXT = 100;
/** What is kept of a longer one, beside its hash. */
const TEXT_START = 24;
/** Characters of a long text, and bytes of long binary data, that are compared. */
const MAX_COMPARED = 256;

/** Texts of other types than text: a text `_id` that looks like one of them is quoted. */
const LOOKS_LIKE_OTHER =
  /^(?:[\da-f]{24}$|-?(?:(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]\d+)?|Infinity)$|NaN$|null$|true$|false$|["({[])/;

/** @param {Order} a @param {Order} b @returns {number} below 0 when `a` is older */
export function compareOrder(a, b) {
  if (a.rank !== b.rank) return a.rank - b.rank;
  if (typeof a.value === "object" && typeof b.value === "object") return compareFields(a.value, b.value);
  if (a.rank === RANK.text) return compareText(String(a.value), String(b.value));
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** @param {unknown} id @returns {Order} */
export function orderOf(id) {
  if (id instanceof ObjectId) return { rank: RANK.objectId, value: id.toHexString() };
  const number = numberOf(id);
  if (number !== undefined) {
    return Number.isNaN(number) ? { rank: RANK.notANumber, value: 0 } : { rank: RANK.number, value: number };
  }
  if (typeof id === "string") return { rank: RANK.text, value: start(id, MAX_COMPARED) };
  if (typeof id === "boolean") return { rank: RANK.boolean, value: Number(id) };
  if (id === null || id === undefined) return { rank: RANK.null, value: 0 };
  if (id instanceof Date) return { rank: RANK.date, value: id.getTime() };
  if (Array.isArray(id)) return { rank: RANK.array, value: fieldsOf(id) };
  switch (bsonType(id)) {
    case undefined:
      return { rank: RANK.object, value: fieldsOf(/** @type {object} */ (id)) };
    case "Binary": {
      const { subtype, bytes } = binaryOf(id);
      // Shorter data is older, then the lower subtype.
      const head = `${hex(bytes.length, 8)}${hex(subtype, 2)}`;
      return { rank: RANK.binary, value: head + bytes.subarray(0, MAX_COMPARED).toString("hex") };
    }
    case "Timestamp":
      return { rank: RANK.timestamp, value: BigInt(String(id)) };
    case "MinKey":
      return { rank: RANK.minKey, value: 0 };
    case "MaxKey":
      return { rank: RANK.maxKey, value: 0 };
    default:
      return { rank: RANK.other, value: idText(id) };
  }
}

/** Different for different `_id`s, at most 100 characters long. @param {unknown} id */
export function idText(id) {
  if (id instanceof ObjectId) return id.toHexString();
  const text = typeof id === "string" && !LOOKS_LIKE_OTHER.test(id) ? id : fullText(id);
  if (text.length <= MAX_TEXT) return text;
  return `(long ${createHash("sha256").update(text).digest("hex")} ${start(text, TEXT_START)}…)`;
}

/** @param {unknown} id @returns {string} */
function fullText(id) {
  if (typeof id === "string") return JSON.stringify(id);
  if (id instanceof ObjectId) return id.toHexString();
  const number = numberOf(id);
  if (number !== undefined) return String(number);
  if (id instanceof Date) return `(date ${id.getTime()})`;
  if (typeof id !== "object" || id === null) return String(id ?? null);
  if (Array.isArray(id)) return `[${id.map(fullText).join()}]`;
  const type = bsonType(id);
  if (type === undefined) {
    const fields = Object.entries(id).map(([name, value]) => `${JSON.stringify(name)}:${fullText(value)}`);
    return `{${fields.join()}}`;
  }
  if (type === "Binary") {
    const { subtype, bytes } = binaryOf(id);
    return `(binary ${subtype} ${bytes.toString("hex")})`;
  }
  return `(${type} ${JSON.stringify(id)})`;
}

/**
 * A number of any of the database's types; undefined for anything else. Whole numbers are exact: those beyond 2^53 are
 * a bigint. A decimal fraction is the nearest double.
 * @param {unknown} value
 * @returns {number | bigint | undefined}
 */
function numberOf(value) {
  if (typeof value === "number") {
    const isExact = Number.isSafeInteger(value) || !Number.isInteger(value);
    return isExact ? value : BigInt(value);
  }
  if (typeof value === "bigint") return whole(value);
  switch (bsonType(value)) {
    case "Long":
      return whole(BigInt(String(value)));
    case "Int32":
    case "Double":
      return numberOf(Number(value));
    case "Decimal128":
      return decimal(String(value));
    default:
      return undefined;
  }
}

/** @param {bigint} value */
function whole(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** @param {string} text  as Decimal128 prints it, for example `12.50` or `1E+3` */
function decimal(text) {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]\d+))?$/.exec(text);
  if (!parts) return Number(text);
  const [, sign, digits, fraction = "", power = "0"] = parts;
  const shift = Number(power) - fraction.length;
  const coefficient = `${digits}${fraction}`;
  if (shift >= 0) return whole(BigInt(`${sign}${coefficient}${"0".repeat(shift)}`));
  const isWhole = /^0*$/.test(coefficient.slice(shift));
  return isWhole ? whole(BigInt(`${sign}${coefficient.slice(0, shift) || "0"}`)) : Number(text);
}

/**
 * As their UTF-8 bytes: by code point. JavaScript compares UTF-16 units, and so puts emoji before some other characters.
 * @param {string} a @param {string} b
 */
function compareText(a, b) {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a.charCodeAt(index) === b.charCodeAt(index)) index += 1;
  if (index === length) return a.length - b.length;
  return unitRank(a.charCodeAt(index)) - unitRank(b.charCodeAt(index));
}

/** Puts the halves of code points beyond U+FFFF after all others. @param {number} unit */
function unitRank(unit) {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** @param {object} object @returns {Value} */
function fieldsOf(object) {
  return Object.entries(object)
    .slice(0, MAX_COMPARED / 8)
    .map(([name, value]) => /** @type {const} */ ([start(name, MAX_COMPARED), orderOf(value)]));
}

/**
 * Field by field: by type, then name, then value.
 * @param {Exclude<Value, number | bigint | string>} a
 * @param {Exclude<Value, number | bigint | string>} b
 */
function compareFields(a, b) {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const [[nameA, orderA], [nameB, orderB]] = [a[index], b[index]];
    const difference = orderA.rank - orderB.rank || compareText(nameA, nameB) || compareOrder(orderA, orderB);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** @param {unknown} value @returns {string | undefined} */
function bsonType(value) {
  return /** @type {{_bsontype?: string} | null | undefined} */ (value)?._bsontype;
}

/** @param {unknown} value */
function binaryOf(value) {
  const binary = /** @type {import("mongodb").Binary} */ (value);
  return { subtype: binary.sub_type, bytes: Buffer.from(binary.value()) };
}

/** @param {number} number @param {number} digits */
function hex(number, digits) {
  return number.toString(16).padStart(digits, "0");
}

/** The start of a text, as a copy: a part of a string keeps the whole string in memory. @param {string} text @param {number} length */
function start(text, length) {
  return text.length <= length ? text : Buffer.from(text.slice(0, length), "utf16le").toString("utf16le");
}
