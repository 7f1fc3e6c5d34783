/** The page's own logic: what it keeps and how it writes it. The page itself is tested in a browser. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ago, change, price, priceParts } from "../page/format.js";
import { extended } from "../page/ranges.js";
import { average as mean, distances } from "../page/rhythm.js";

/** Points whose price equals their time. @param {number[]} times @returns {import("../page/store.js").Points} */
const points = (times) => ({ time: times, avgPrice: times, buy: times.map(() => null), sell: times.map(() => null) });

describe("a longer range", () => {
  it("gets new windows and drops old ones", () => {
    const shown = extended(points([0, 400, 800]), points([800, 1000, 1200]), 800, 1000);
    assert.deepEqual(shown.time, [400, 800, 1000, 1200]);
  });

  it("is not denser at its end than elsewhere", () => {
    const span = 1_000_000;
    let shown = points([0, 4000, 8000]);
    let since = 8000;
    for (let time = 8100; time <= 20_000; time += 100) {
      shown = extended(shown, points([time]), since, span);
      since = time;
    }
    assert.ok(shown.time.length < 20, `${shown.time.length} points`);
    assert.equal(shown.time.at(-1), 20_000);
  });
});

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
    assert.equal(price(null), "–");
    assert.deepEqual(priceParts(312.0471), ["312", ".05"]);
  });

  it("have a sign in a change, unless it rounds to zero", () => {
    assert.deepEqual(change(100, 101.5), { direction: "up", text: "+1.50 (+1.50 %)" });
    assert.deepEqual(change(100, 98), { direction: "down", text: "−2.00 (−2.00 %)" });
    assert.deepEqual(change(100, 100.001), { direction: "same", text: "0.00 (0.00 %)" });
    assert.deepEqual(change(0, 1), { direction: "up", text: "+1.00" });
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
});
