/** The page's own logic: what it keeps and how it writes it. The page itself is tested in a browser. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RECENT_AVERAGES } from "../page/contract.js";
import { ago, change, clock, price, priceParts } from "../page/format.js";
import { average as mean, distances } from "../page/rhythm.js";
import { status } from "../page/status.js";
import { isQuiet, Store } from "../page/store.js";

/** Points whose price equals their time. @param {number[]} times @returns {import("../page/store.js").Points} */
const points = (times) => ({ time: times, avgPrice: times, buy: times.map(() => null), sell: times.map(() => null) });
/** @param {number} time @param {string} [company] */
const average = (time, company = "A") => ({ company, avgPrice: time, time });
/** @param {number[]} times @param {string} [company] */
const history = (times, company = "A") => ({
  company,
  newest: average(/** @type {number} */ (times.at(-1)), company),
  ...points(times),
});
/** @param {Store} store @param {string} [company] */
const times = (store, company = "A") => store.company(company)?.points.time;

describe("the store", () => {
  it("grows with each average", () => {
    const store = new Store();
    store.receiveHistory([history([1, 2])]);
    store.receiveAverages([average(3), average(4, "B")]);
    assert.deepEqual(times(store), [1, 2, 3]);
    assert.deepEqual(times(store, "B"), [4]);
    assert.equal(store.company("A")?.newest.time, 3);
  });

  it("neither loses nor repeats a point when it changes to another live view", () => {
    const store = new Store();
    store.receiveHistory([history([1, 2, 3])]);
    store.receiveAverages([average(4), average(5)]);
    store.receiveHistory([history([3, 4, 5, 6])]);
    assert.deepEqual(times(store), [1, 2, 3, 4, 5, 6]);
  });

  it("repeats no point when another live view is a little behind", () => {
    const store = new Store();
    store.receiveHistory([history([1, 2, 3])]);
    store.receiveHistory([history([1, 2])]);
    store.receiveAverages([average(3)]);
    assert.deepEqual(times(store), [1, 2, 3]);
  });

  it("keeps windows that closed at the same time", () => {
    const store = new Store();
    store.receiveHistory([history([1, 2])]);
    store.receiveAverages([average(2), average(2)]);
    assert.deepEqual(times(store), [1, 2, 2, 2]);
  });

  it("inserts a late average in order of time", () => {
    const store = new Store();
    store.receiveAverages([average(1), average(3), average(2)]);
    assert.deepEqual(times(store), [1, 2, 3]);
    assert.equal(store.company("A")?.newest.time, 3);
  });

  it("drops a company that is gone, and keeps the others' colours", () => {
    const store = new Store();
    store.receiveHistory([history([1], "A"), history([1], "B")]);
    store.receiveHistory([history([1], "B"), history([1], "C")]);
    assert.deepEqual(
      store.companies().map(({ name, colour }) => [name, colour]),
      [
        ["B", 1],
        ["C", 2],
      ],
    );
  });

  it("is bounded", () => {
    const store = new Store();
    for (let time = 1; time <= RECENT_AVERAGES + 9; time += 1) store.receiveAverages([average(time)]);
    assert.equal(times(store)?.length, RECENT_AVERAGES);
    assert.equal(times(store)?.[0], 10);
  });
});

describe("a company", () => {
  /** @param {number[]} windows */
  const company = (...windows) => {
    const store = new Store();
    store.receiveHistory([history(windows)]);
    return store.company("A") ?? assert.fail();
  };

  it("is quiet after five times its usual interval, but not before ten seconds", () => {
    const everySecond = company(0, 1000, 2000, 3000);
    assert.equal(isQuiet(everySecond, 12_900), false);
    assert.equal(isQuiet(everySecond, 13_100), true);
    const everyMinute = company(0, 60_000, 120_000);
    assert.equal(isQuiet(everyMinute, 400_000), false);
    assert.equal(isQuiet(everyMinute, 430_000), true);
  });
});

describe("the status", () => {
  /** @param {number[]} windows */
  const companies = (...windows) => {
    const store = new Store();
    if (windows.length > 0) store.receiveHistory([history(windows)]);
    return store.companies();
  };
  /** Connected, current, with a window one second ago. */
  const live = {
    isOpen: true,
    hasEverConnected: true,
    isCurrent: true,
    lastNews: 5000,
    companies: companies(3000, 4000),
    now: 5000,
  };
  const since = `, prices of ${clock(4000)}`;

  it("is live with an open connection, current data and a recent window", () => {
    assert.deepEqual(status(live), { state: "live", text: "Live" });
  });

  it("is connecting before the first connection, and reconnecting after it", () => {
    const closed = { ...live, isOpen: false };
    const first = { ...closed, hasEverConnected: false, lastNews: 0, companies: [] };
    assert.deepEqual(status(first), { state: "connecting", text: "Connecting" });
    assert.deepEqual(status(closed), { state: "reconnecting", text: `Reconnecting${since}` });
    assert.deepEqual(status({ ...closed, lastNews: 0, companies: [] }), {
      state: "reconnecting",
      text: "Reconnecting",
    });
  });

  it("names the database when the live view's data is not current", () => {
    const away = { ...live, isCurrent: false };
    assert.deepEqual(status(away), { state: "stale", text: `Database away${since}` });
    assert.deepEqual(status({ ...away, companies: [] }), { state: "stale", text: "Database away" });
  });

  it("reports a lost connection before a lost database", () => {
    assert.equal(status({ ...live, isOpen: false, isCurrent: false }).state, "reconnecting");
  });

  it("is waiting until the first window", () => {
    assert.deepEqual(status({ ...live, companies: [] }), { state: "waiting", text: "Waiting" });
  });

  it("is stale only when every company is quiet", () => {
    const later = 60_000;
    assert.deepEqual(status({ ...live, now: later }), { state: "stale", text: `Stale${since}` });
    const mixed = new Store();
    mixed.receiveHistory([history([3000, 4000], "A"), history([59_000], "B")]);
    assert.equal(status({ ...live, companies: mixed.companies(), now: later }).state, "live");
  });

  it("falls back to the time of the last news when no company is left", () => {
    const text = `Reconnecting, prices of ${clock(5000)}`;
    assert.deepEqual(status({ ...live, isOpen: false, companies: [] }), { state: "reconnecting", text });
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
