/** What charts draw. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ascending, band, brokenLine, countWithin, pauses } from "../page/series.js";

describe("times of a chart", () => {
  it("stay as they are when they are in order", () => {
    const times = [1, 2, 2, 3];
    assert.equal(ascending(times), times);
  });

  it("go on after one window of a clock that is an hour ahead, or behind", () => {
    assert.deepEqual(ascending([1000, 2000, 3_603_000, 4000, 5000]), [1000, 2000, 3000, 4000, 5000]);
    assert.deepEqual(ascending([3_601_000, 3_602_000, 3000, 3_604_000]), [3_601_000, 3_602_000, 3_603_000, 3_604_000]);
  });

  it("are bounded by their neighbours at both ends", () => {
    assert.deepEqual(ascending([9000, 2000, 3000, 4000]), [2000, 2000, 3000, 4000]);
    assert.deepEqual(ascending([1000, 2000, 3000, 500]), [1000, 2000, 3000, 3000]);
  });

  it("never go back, whatever they were", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const times = Array.from({ length: 1 + (seed % 40) }, (_, index) => (seed * 7919 * (index + 3) ** 3) % 1009);
      const result = ascending(times);
      assert.equal(result.length, times.length);
      result.forEach((time, index) => assert.ok(index === 0 || result[index - 1] <= time, `${result}`));
    }
    assert.deepEqual(ascending([]), []);
  });

  it("count the last minutes of time", () => {
    assert.equal(countWithin([0, 50_000, 60_000, 100_000], 50_000), 3);
    assert.equal(countWithin([], 50_000), 0);
  });
});

describe("a pause", () => {
  const everySecond = Array.from({ length: 20 }, (_, index) => index * 1000);

  it("is where no window closed for several times the usual interval", () => {
    assert.deepEqual(pauses([...everySecond, 3_600_000, 3_601_000]), [{ from: 19_000, to: 3_600_000 }]);
    assert.deepEqual(pauses([...everySecond, 22_000]), [], "three missing windows are no pause");
    const everyTenMinutes = everySecond.map((time) => time * 600);
    assert.deepEqual(pauses([...everyTenMinutes, 19_000 * 600 + 2_000_000]), []);
  });

  it("breaks the line, once for each", () => {
    const line = brokenLine([...everySecond, 100_000, 101_000], [...everySecond, 1, 2]);
    assert.equal(line.time.length, 23);
    assert.deepEqual(line.value.slice(-4), [19_000, null, 1, 2]);
    assert.deepEqual(line.time.slice(-4), [19_000, 59_500, 100_000, 101_000]);
  });
});

describe("what is denser than the pixels", () => {
  it("becomes the lowest, average and highest of each column", () => {
    const { low, average, high } = band({ time: [0, 1, 2, 3, 10], value: [5, 1, 3, 7, 9] }, 2);
    assert.deepEqual(
      [low, average, high],
      [
        [1, 9],
        [4, 9],
        [7, 9],
      ],
    );
  });

  it("keeps the breaks", () => {
    const line = { time: [0, 1, 2, 3, 4], value: [5, 5, null, 7, 7] };
    assert.deepEqual(band(line, 2).average, [5, null, 7, 7]);
    assert.deepEqual(band({ time: [], value: [] }, 9).average, []);
  });
});
