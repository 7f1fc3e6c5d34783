/** The logic of the overview: which companies, in which order, and what one can set. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { MAX_WAITING, Pause } from "../page/pause.js";
import { isLive, search, sorted } from "../page/selection.js";
import { lastMinutes } from "../page/series.js";
import { Store } from "../page/store.js";
import { Thresholds } from "../page/thresholds.js";
import { loadAssets } from "../src/assets.js";
import { SYMBOLS } from "./support.js";

/** @param {string} company @param {number} avgPrice @param {object} [others] */
const newest = (company, avgPrice, others = {}) => ({ _id: company, company, avgPrice, time: 1, seenAt: 1, ...others });
/** @param {Array<ReturnType<typeof newest>>} companies */
function market(...companies) {
  const store = new Store();
  store.receiveMarket({ part: 0, parts: 1, companies });
  return store.companies();
}
/** @param {readonly {name: string}[]} companies */
const names = (companies) => companies.map(({ name }) => name);

describe("the page's files", () => {
  it("that it needs at once are all named by the page, so that a slow link loads them together", async () => {
    const html = String((await loadAssets()).page.body);
    const named = [...html.matchAll(/<link rel="modulepreload" href="[^"]*\/([\w-]+\.js)">/g)].map(([, name]) => name);
    const folder = path.join(import.meta.dirname, "..", "page");
    /** @type {Set<string>} */
    const needed = new Set(["app.js"]);
    for (const name of needed) {
      const text = await readFile(path.join(folder, name), "utf8");
      for (const [, imported] of text.matchAll(/from "\.\/([^"]+)"/g)) needed.add(imported);
    }
    assert.deepEqual(named.toSorted(), [...needed].toSorted());
    assert.ok(!named.includes("detail.js"), "the view of one company comes later");
  });
});

describe("a search", () => {
  const companies = market(...SYMBOLS.map((symbol) => newest(symbol, 1)));

  it("finds symbols by any part, in any case", () => {
    assert.deepEqual(names(search(companies, "brk")), ["BRK_B", "BRK-B", "brk.b", "BRK.B"]);
    assert.deepEqual(names(search(companies, " .HK ")), ["0700.HK"]);
    assert.equal(search(companies, ""), companies);
    assert.deepEqual(search(companies, "nothing"), []);
  });

  it("takes every character as it is", () => {
    for (const symbol of SYMBOLS) assert.ok(names(search(companies, symbol)).includes(symbol), symbol);
    assert.deepEqual(names(search(companies, "^")), ["^GSPC"]);
    assert.deepEqual(names(search(companies, "..")), [".."]);
    assert.deepEqual(search(companies, ".*"), []);
  });
});

describe("the order of companies", () => {
  const companies = market(
    newest("A", 10, { count: 5, minPrice: 3, maxPrice: 9, seenAt: 3 }),
    newest("B", 30, { buy: { count: 1 }, sell: { count: 2 }, seenAt: 1 }),
    newest("C", 20, { minPrice: 1, maxPrice: 11, seenAt: 2 }),
    newest("D", 20, { count: 9 }),
  );
  /** @param {string} column @param {boolean} [isDescending] @param {import("../page/selection.js").Base} [base] */
  const order = (column, isDescending = false, base = () => undefined) =>
    names(sorted(companies, { column, isDescending }, base)).join("");

  it("is by any column, both ways", () => {
    assert.equal(order("symbol"), "ABCD");
    assert.equal(order("symbol", true), "DCBA");
    assert.equal(order("price"), "ACDB");
    assert.equal(order("price", true), "BCDA");
    assert.equal(order("updated", true), "ACBD");
  });

  it("has companies without a value last, both ways", () => {
    assert.equal(order("volume"), "BADC");
    assert.equal(order("volume", true), "DABC");
    assert.equal(order("low"), "CABD");
    assert.equal(order("high", true), "CABD");
  });

  it("is by the change relative to the price before", () => {
    const before = new Map([
      ["A", 5],
      ["B", 60],
      ["C", 19],
    ]);
    assert.equal(
      order("change", true, ({ name }) => before.get(name)),
      "ACBD",
    );
    assert.equal(
      order("change", false, ({ name }) => before.get(name)),
      "BCAD",
    );
    assert.equal(
      order("change", true, ({ name }) => (name === "C" ? 0 : 15)),
      "CBDA",
    );
  });

  it("changes with time unless it is by symbol", () => {
    assert.equal(isLive({ column: "symbol", isDescending: true }), false);
    assert.equal(isLive({ column: "price", isDescending: false }), true);
  });
});

describe("the points of companies", () => {
  const told = (/** @type {number} */ time) => newest("A", time, { _id: String(time), time });
  const read = (/** @type {number[]} */ times) => ({
    company: "A",
    id: times.map(String),
    time: times,
    avgPrice: times,
    buy: [],
    sell: [],
  });
  const open = () => {
    const store = new Store();
    store.receiveMarket({ part: 0, parts: 1, companies: [told(1)] });
    return store;
  };

  it("have none twice that is told after it was read", () => {
    const store = open();
    store.receiveRecent(read([1, 2, 3]), 60, store.company("A")?.resets ?? -1);
    store.receiveAverages([told(2), told(3), told(4)]);
    assert.deepEqual(store.company("A")?.points.id, ["1", "2", "3", "4"]);
  });

  it("are few until somebody looks", () => {
    const store = open();
    for (let time = 2; time < 1000; time += 1) store.receiveAverages([told(time)]);
    assert.ok((store.company("A")?.points.id.length ?? 0) < 20);
    assert.equal(store.company("A")?.newest.avgPrice, 999);
  });
});

describe("the small charts", () => {
  /** @param {number[]} time */
  const shown = (time) => lastMinutes({ time, avgPrice: time }).time;
  const every = (/** @type {number} */ ms, /** @type {number} */ count, from = 0) =>
    Array.from({ length: count }, (_, index) => from + index * ms);

  it("show the last minutes of time, also after a pause", () => {
    assert.equal(shown(every(1000, 290)).length, 290);
    assert.deepEqual(shown([...every(1000, 100), ...every(1000, 100, 3_600_000)]), every(1000, 100, 3_600_000));
  });

  it("show more time where windows are rare", () => {
    assert.equal(shown(every(60_000, 40)).length, 40);
    assert.equal(shown(every(60_000, 100)).length, 61);
  });

  it("are in order of time, whatever the clocks say", () => {
    const times = shown([1000, 2000, 3_600_000, 4000, 5000]);
    assert.deepEqual(times, [1000, 2000, 3000, 4000, 5000]);
  });

  it("show nothing of nothing", () => {
    assert.deepEqual(shown([]), []);
  });
});

describe("a pause", () => {
  it("keeps what is told meanwhile, and counts it", () => {
    const pause = new Pause();
    pause.start();
    assert.equal(pause.keep({ type: "averages", averages: [1, 2] }), true);
    assert.equal(pause.keep({ type: "market", part: 0, parts: 2, companies: [1] }), false);
    assert.equal(pause.keep({ type: "market", part: 1, parts: 2, companies: [1] }), true);
    assert.equal(pause.waiting, 4);
    assert.equal(pause.end()?.length, 3);
    assert.deepEqual([pause.isOn, pause.waiting], [false, 0]);
  });

  it("is bounded", () => {
    const pause = new Pause();
    pause.start();
    for (let count = 0; count <= MAX_WAITING; count += 1) pause.keep({ type: "averages", averages: [count] });
    assert.equal(pause.waiting, MAX_WAITING + 1);
    assert.equal(pause.end(), undefined);
    pause.start();
    assert.deepEqual(pause.end(), []);
  });
});

describe("thresholds", () => {
  /** @param {string} [stored] */
  const storage = (stored) => {
    const kept = new Map(stored === undefined ? [] : [["stockmarket.thresholds", stored]]);
    return {
      getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
      setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
    };
  };

  it("are kept, for any symbol", () => {
    const browser = storage();
    const thresholds = new Thresholds(browser);
    for (const symbol of SYMBOLS) thresholds.set(symbol, { above: 2, below: 1 });
    thresholds.set("detail", {});
    const again = new Thresholds(browser);
    assert.deepEqual(
      again.all().map(([name]) => name),
      SYMBOLS.filter((symbol) => symbol !== "detail"),
    );
    assert.deepEqual(
      [1, 1.5, 2, 2.1, 0.9].map((price) => again.side("__proto__", price)),
      ["", "", "", "above", "below"],
    );
    assert.equal(again.side("detail", 9), "");
  });

  it("tell once that a price has gone beyond, until it was back", () => {
    const thresholds = new Thresholds(storage());
    thresholds.set("A", { above: 10 });
    assert.deepEqual(
      [9, 11, 12, 10, 11].map((price) => thresholds.crossed("A", price)),
      ["", "above", "", "", "above"],
    );
    assert.equal(thresholds.crossed("B", 1), "");
  });

  it("do without a storage that holds something else", () => {
    for (const stored of ["{", "5", '[["A",null]]', '[["A",{"above":"x"}]]']) {
      assert.deepEqual(new Thresholds(storage(stored)).all(), []);
    }
  });
});
