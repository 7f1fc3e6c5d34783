/** The page's own logic: what it keeps and how it writes it. The page itself is tested in a browser. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { average as mean, distances } from "../page/deviation.js";
import { ago, change, count, distance, exact, price, priceParts, span, zonedClock } from "../page/format.js";

describe("a row of bars", () => {
  it("scales distances from the mean of all prices to the farthest bar shown", () => {
    assert.equal(mean([1, 2, 6]), 3);
    assert.deepEqual(distances([1, 2, 6], 9), [-2 / 3, -1 / 3, 1]);
    assert.deepEqual(distances([0, 10, 4, 6], 2), [-1, 1]);
  });

  it("is flat when all prices are the same, and empty without prices", () => {
    assert.deepEqual(distances([5, 5], 9), [0, 0]);
    assert.deepEqual(distances([], 9), []);
  });
});

describe("numbers", () => {
  it("have two decimals", () => {
    assert.equal(price(1234.5), "1,234.50");
    assert.equal(price(0), "0.00");
    assert.equal(price(-1234.5), "−1,234.50");
    assert.equal(price(312.047123456), "312.05");
    assert.equal(price(null), "–");
    assert.equal(price(Number.NaN), "–");
    assert.deepEqual(priceParts(312.0471), ["312", ".05"]);
  });

  it("have significant digits below 1", () => {
    assert.deepEqual([0.5, 0.12345, 0.00001234, 0.00001, -0.000012345678].map(price), [
      "0.50",
      "0.1235",
      "0.00001234",
      "0.00001",
      "−0.00001235",
    ]);
    assert.deepEqual(priceParts(0.00001234), ["0", ".00001234"]);
  });

  it("have the decimals of the price that they are a distance from", () => {
    assert.equal(distance(0.7345, 190.2), "0.73");
    assert.equal(distance(0.0000012, 0.00001234), "0.00000120");
    assert.equal(distance(2e12, 5e12), "2T");
  });

  it("stay short however large or small they are, and are there exactly", () => {
    assert.deepEqual([999_999_999.994, 1e9, 1.23456e12, 1.5e21, 1e300, 1.234e-9, 5e-324].map(price), [
      "999,999,999.99",
      "1B",
      "1.23T",
      "1.5E21",
      "1E300",
      "1.23E−9",
      "5E−324",
    ]);
    assert.deepEqual(priceParts(1.23456e12), ["1", ".23T"]);
    assert.deepEqual(priceParts(1e300), ["1E300", ""]);
    assert.deepEqual([1.23456e12, -0.1, null].map(exact), ["1234560000000", "−0.1", ""]);
    assert.deepEqual([1000, 1.5e9].map(count), ["1,000", "1.5B"]);
  });

  it("have a sign in a change, unless it rounds to zero", () => {
    const told = (/** @type {number} */ from, /** @type {number} */ to) => {
      const { direction, text } = change(from, to);
      return [direction, text];
    };
    assert.deepEqual(told(100, 101.5), ["up", "+1.50 (+1.50 %)"]);
    assert.deepEqual(told(100, 98), ["down", "−2.00 (−2.00 %)"]);
    assert.deepEqual(told(100, 100.001), ["same", "0.00 (0.00 %)"]);
    assert.deepEqual(told(0, 1), ["up", "+1.00"]);
  });

  it("tell the change of tiny and huge prices", () => {
    const told = (/** @type {number} */ from, /** @type {number} */ to) => change(from, to).text;
    assert.equal(told(0.00001234, 0.0000124), "+0.00000006 (+0.49 %)");
    assert.equal(change(0.00001234, 0.0000124).direction, "up");
    assert.equal(told(0.00001234, 0.00001234), "0.00000000 (0.00 %)");
    assert.equal(told(0.00001234, 0.5), "+0.49998766 (+4.05M %)");
    assert.equal(told(0.00001234, 312), "+312.00 (+2.53B %)");
    assert.equal(told(1e-9, 3e-9), "+2E−9 (+200.00 %)");
    assert.equal(told(1e-9, 1e-9), "0.00 (0.00 %)");
    assert.equal(told(1e12, 1.5e12), "+500B (+50.00 %)");
    assert.equal(told(1e300, -1e300), "−2E300 (−200.00 %)");
    assert.equal(told(5e-324, 1e300), "+1E300");
    assert.equal(told(1, 21), "+20.00 (+2,000 %)");
    assert.equal(told(3.49, 3.4944), "+0.0044 (+0.13 %)");
  });

  it("say how long ago", () => {
    assert.deepEqual([-5, 0, 1999, 59_000, 61_000, 7_200_000, 90_000_000].map(ago), [
      "just now",
      "just now",
      "just now",
      "59 s ago",
      "1 min ago",
      "2 h ago",
      "1 day ago",
    ]);
  });

  it("say how long something takes", () => {
    assert.deepEqual([-20, 40, 1250, 12_345, 180_000].map(span), ["0.0 s", "0.0 s", "1.3 s", "12 s", "3 min"]);
  });

  it("name the zone of a time", () => {
    assert.match(zonedClock(0), /^\d\d:00:00 [A-Z]/);
  });
});
