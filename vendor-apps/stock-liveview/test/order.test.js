import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Binary, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } from "mongodb";
import { compareOrder, idText, orderOf } from "../src/order.js";
import { closeAfter, openDatabase } from "./support.js";

const long = (/** @type {string} */ digits) => Long.fromString(digits);
const decimal = (/** @type {string} */ digits) => Decimal128.fromString(digits);

/** Of all types, and what is hard to sort. */
const IDS = [
  null,
  Number.NaN,
  Number.NEGATIVE_INFINITY,
  long("-9223372036854775808"),
  -1.5,
  0,
  decimal("0.5"),
  new Int32(3),
  new Double(20.25),
  9_007_199_254_740_992,
  long("9007199254740993"),
  decimal("9007199254740994"),
  long("9007199254740995"),
  decimal("9007199254740995.5"),
  long("9223372036854775807"),
  1e300,
  decimal("1E+310"),
  Number.POSITIVE_INFINITY,
  "",
  "10",
  "9",
  "Z",
  "a",
  "é",
  "\uffee",
  "\u{1f600}",
  {},
  { a: 1 },
  { b: 1 },
  { a: "x" },
  { a: "x", b: long("9007199254740993") },
  { a: "x", b: decimal("9007199254740994") },
  new Binary(Buffer.from("ff", "hex")),
  new Binary(Buffer.from("0001", "hex")),
  new Binary(Buffer.from("0002", "hex")),
  new Binary(Buffer.from("0000", "hex"), 5),
  new ObjectId("5".repeat(24)),
  new ObjectId("a".repeat(24)),
  false,
  true,
  new Date(-1),
  new Date(5),
  new Timestamp({ t: 1, i: 9 }),
  new Timestamp({ t: 4_000_000_000, i: 0 }),
  new MinKey(),
  new MaxKey(),
];

describe("the order of documents", () => {
  it("is that of the database, for an _id of any type", async (test) => {
    const closing = closeAfter(test);
    const database = await openDatabase();
    closing(() => database.close());
    await database.store(...IDS.map((_id) => ({ _id, company: "A", avgPrice: 1 })));
    const sorted = await database.collection.find({}, { sort: { _id: 1 }, promoteLongs: false }).toArray();
    const texts = sorted.map(({ _id }) => idText(_id));
    const ours = [...sorted].reverse().sort((a, b) => compareOrder(orderOf(a._id), orderOf(b._id)));
    assert.deepEqual(
      ours.map(({ _id }) => idText(_id)),
      texts,
    );
    assert.equal(new Set(texts).size, IDS.length, "each has a text of its own");
  });

  it("holds numbers that the database holds equal for equal", () => {
    for (const [a, b] of [
      [7, long("7")],
      [long("9007199254740993"), decimal("9007199254740993")],
      [decimal("7.00"), 7],
      [decimal("1E+3"), long("1000")],
      [0, -0],
      [0, decimal("-0.0")],
      [0.5, decimal("0.50")],
    ]) {
      assert.equal(compareOrder(orderOf(a), orderOf(b)), 0, `${a} and ${b}`);
      assert.equal(idText(a), idText(b));
    }
  });
});

describe("the text of an _id", () => {
  it("is different for different ones", () => {
    const similar = [
      7,
      "7",
      "07",
      null,
      "null",
      true,
      "true",
      new ObjectId("5".repeat(24)),
      "5".repeat(24),
      "5".repeat(23),
      { a: 1 },
      '{"a":1}',
      new Date(7),
      "(date 7)",
      new Binary(Buffer.from("07", "hex")),
      '"7"',
      "x".repeat(5_000_000),
      `${"x".repeat(5_000_000)}y`,
    ].map(idText);
    assert.equal(new Set(similar).size, similar.length, similar.join("\n"));
    assert.ok(similar.every((text) => text.length <= 100));
  });

  it("is the hexadecimal number of an ObjectId, and a text itself", () => {
    assert.equal(idText(new ObjectId("a".repeat(24))), "a".repeat(24));
    assert.equal(idText("000123"), "000123");
    assert.equal(idText(long("9007199254740993")), "9007199254740993");
  });
});
