import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Lag } from "../src/lag.js";

/** A cluster time. @param {number} seconds @param {number} [count] */
const at = (seconds, count = 1) => (BigInt(seconds) << 32n) + BigInt(count);

describe("the lag", () => {
  it("is none while the cluster is idle, and when its rare entries are read a little later", () => {
    const lag = new Lag();
    lag.start(at(100), at(100), 0);
    for (let now = 1000; now < 60_000; now += 1000) {
      const time = at(100 + 10 * Math.floor(now / 10_000));
      lag.sample(time, now);
      assert.equal(lag.ms(now + 600), 0, `after ${now} ms`);
      lag.reach(time);
    }
  });

  it("is the age of the oldest sample that was not reached", () => {
    const lag = new Lag();
    lag.start(at(100), at(100), 0);
    for (const second of [1, 2, 3, 4, 5, 6]) lag.sample(at(100 + second), second * 1000);
    assert.equal(lag.ms(7000), 6000);
    lag.reach(at(103));
    assert.equal(lag.ms(7000), 3000);
    lag.reach(at(106));
    assert.equal(lag.ms(7000), 0);
  });

  it("is the cluster's own time after a start from far behind, until that is caught up", () => {
    const lag = new Lag();
    lag.start(at(100), at(160), 0);
    assert.equal(lag.ms(0), 60_000);
    lag.sample(at(161), 1000);
    lag.reach(at(150));
    assert.equal(lag.ms(1100), 11_000);
    lag.reach(at(161));
    assert.equal(lag.ms(1200), 0);
    lag.sample(at(170), 2000);
    assert.equal(lag.ms(3000), 0, "a gap in the cluster's time is no lag");
  });

  it("remembers a bounded number of samples, the oldest among them", () => {
    const lag = new Lag();
    lag.start(at(1), at(1), 0);
    for (let second = 2; second < 20_000; second += 1) lag.sample(at(second), second * 1000);
    assert.equal(lag.ms(20_000_000), 20_000_000 - 2000);
    lag.reach(at(19_999));
    assert.equal(lag.ms(20_000_000), 0);
  });
});
