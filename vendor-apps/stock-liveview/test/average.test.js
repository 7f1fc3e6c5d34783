import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Decimal128, Long, ObjectId } from "mongodb";
import { columns, parseAverage } from "../src/average.js";
import { window } from "./support.js";

const NOW = 1_700_000_000_000;

describe("an average", () => {
  it("keeps the stored fields, without the lists of trades", () => {
    const _id = new ObjectId();
    const closedAt = new Date(NOW - 5);
    const average = parseAverage(window("MSFT", 300.25, { _id, closedAt }), NOW)?.average;
    assert.deepEqual(average, {
      _id: _id.toHexString(),
      company: "MSFT",
      avgPrice: 300.25,
      time: NOW - 5,
      seenAt: NOW,
      count: 1000,
      buy: { count: 510, avgPrice: 300.75 },
      sell: { count: 490, avgPrice: 299.75 },
      minPrice: 280.25,
      maxPrice: 320.25,
    });
  });

  it("needs only company and avgPrice, and takes its time from its _id", () => {
    const _id = ObjectId.createFromTime(1_690_000_000);
    assert.deepEqual(parseAverage({ _id, company: "MSFT", avgPrice: 1 }, NOW)?.average, {
      _id: _id.toHexString(),
      company: "MSFT",
      avgPrice: 1,
      time: 1_690_000_000_000,
      seenAt: NOW,
    });
    assert.equal(parseAverage({ _id: 7, company: "MSFT", avgPrice: 1 }, NOW)?.average.time, NOW);
  });

  it("takes numbers of every BSON type", () => {
    const document = { _id: 1, company: "A", avgPrice: Decimal128.fromString("12.5"), count: Long.fromNumber(1000) };
    const average = parseAverage(document, NOW)?.average;
    assert.equal(average?.avgPrice, 12.5);
    assert.equal(average?.count, 1000);
  });

  const _id = new ObjectId();
  const malformed = {
    "no object": 7,
    nothing: null,
    "without company": { _id, avgPrice: 1 },
    "with a company that is not text": { _id, company: 7, avgPrice: 1 },
    "with an empty company": { _id, company: "", avgPrice: 1 },
    "with a company longer than 64 characters": { _id, company: "A".repeat(65), avgPrice: 1 },
    "with several companies": { _id, company: ["A", "B"], avgPrice: 1 },
    "without avgPrice": { _id, company: "A" },
    "with a price that is text": { _id, company: "A", avgPrice: "1" },
    "with a price that is NaN": { _id, company: "A", avgPrice: Number.NaN },
    "with an infinite price": { _id, company: "A", avgPrice: Number.POSITIVE_INFINITY },
    "with a price that is an object": { _id, company: "A", avgPrice: { $gt: 1 } },
    "without _id": { company: "A", avgPrice: 1 },
  };
  for (const [what, document] of Object.entries(malformed)) {
    it(`is not a document ${what}`, () => assert.equal(parseAverage(document, NOW), undefined));
  }

  it("leaves out invalid optional fields", () => {
    const document = window("A", 1, {
      _id: 1,
      count: "many",
      buy: 7,
      sell: { count: null },
      minPrice: Number.NaN,
      maxPrice: [],
      closedAt: "yesterday",
    });
    const average = { _id: "1", company: "A", avgPrice: 1, time: NOW, seenAt: NOW };
    assert.deepEqual(parseAverage(document, NOW)?.average, average);
  });

  it("has no price for a side without trades", () => {
    const average = parseAverage(window("A", 1, { _id: 1, buy: { count: 0, avgPrice: null } }), NOW)?.average;
    assert.deepEqual(average?.buy, { count: 0, avgPrice: null });
  });

  it("is not cut in columns when it is tiny or huge", () => {
    for (const price of [0.00001234, -0.5, 1e-300, 1e300, 123_456_789_012.5]) {
      const stored = parseAverage(window("A", price, { _id: 1 }), NOW);
      assert.deepEqual(columns(stored ? [stored.average] : []).avgPrice, [price]);
    }
  });

  it("is rounded to four decimals in columns", () => {
    const averages = [parseAverage(window("A", 100 + 1 / 3, { _id: 1, closedAt: new Date(NOW), sell: null }), NOW)];
    assert.deepEqual(columns(averages.flatMap((stored) => stored?.average ?? [])), {
      time: [NOW],
      avgPrice: [100.3333],
      buy: [100.8333],
      sell: [null],
    });
  });
});
