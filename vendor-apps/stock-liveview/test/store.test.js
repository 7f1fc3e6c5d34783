/** The page's data and status. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RECENT_AVERAGES } from "../page/contract.js";
import { clock } from "../page/format.js";
import { status } from "../page/status.js";
import { isQuiet, Store } from "../page/store.js";

/** An average whose price and times are its number. @param {number} number @param {string} [company] @param {object} [others] */
const average = (number, company = "A", others = {}) => ({
  _id: String(number),
  company,
  avgPrice: number,
  time: number,
  seenAt: number,
  ...others,
});
/** As a live view answers `recent`. @param {number[]} numbers @param {string} [company] */
const recent = (numbers, company = "A") => ({
  company,
  id: numbers.map(String),
  time: numbers,
  avgPrice: numbers,
  buy: numbers.map(() => null),
  sell: numbers.map(() => null),
});
/** @param {Store} store @param {ReturnType<typeof average>[]} companies */
const market = (store, ...companies) => store.receiveMarket({ part: 0, parts: 1, companies });
/** @param {Store} store @param {string} [company] */
const known = (store, company = "A") => store.company(company) ?? assert.fail(`${company} is not known`);
/** @param {Store} store @param {number[]} numbers  what the live view answers now */
const read = (store, ...numbers) => store.receiveRecent(recent(numbers), 60, known(store).resets);

describe("the store", () => {
  it("grows with each average", () => {
    const store = new Store();
    store.receiveAverages([average(1), average(2), average(4, "B")]);
    assert.deepEqual(known(store).points.time, [1, 2]);
    assert.deepEqual(known(store, "B").points.time, [4]);
    assert.equal(known(store).newest.time, 2);
  });

  it("takes a document that is updated in place for one point, with its newest price", () => {
    const store = new Store();
    store.receiveAverages([average(1), average(1, "A", { avgPrice: 5, seenAt: 9 })]);
    assert.deepEqual(known(store).points.avgPrice, [5]);
    assert.equal(known(store).newest.seenAt, 9);
  });

  it("takes the live view's word for what is newest, whatever the clocks say", () => {
    const store = new Store();
    market(store, average(7, "A", { time: 3_600_000 }));
    store.receiveAverages([average(8, "A", { time: 1000 })]);
    assert.equal(known(store).newest.avgPrice, 8);
    assert.equal(known(store).points.avgPrice.at(-1), 8);
  });

  it("neither loses nor repeats a point, whichever live view answers first", () => {
    for (const [answer, expected, why] of /** @type {[number[], number[], string][]} */ ([
      [[1, 2, 3], [1, 2, 3, 4, 5], "it is behind what was told"],
      [[1, 2, 3, 4], [1, 2, 3, 4, 5], "it overlaps"],
      [[2, 3, 4, 5, 6], [2, 3, 4, 5, 6], "it is ahead"],
      [[8, 9], [8, 9], "it is far ahead"],
    ])) {
      const store = new Store();
      market(store, average(3));
      store.receiveAverages([average(4), average(5)]);
      read(store, ...answer);
      assert.deepEqual(known(store).points.time, expected, why);
    }
  });

  it("repeats no point that another live view has told already", () => {
    const store = new Store();
    market(store, average(4));
    read(store, 1, 2, 3, 4, 5);
    store.receiveAverages([average(5), average(6)]);
    assert.deepEqual(known(store).points.time, [1, 2, 3, 4, 5, 6]);
  });

  it("keeps windows that closed at the same time", () => {
    const store = new Store();
    store.receiveAverages([average(2), average(3, "A", { time: 2 })]);
    assert.deepEqual(known(store).points.time, [2, 2]);
  });

  it("reads a company's history again after its past changed, and shows what it has until then", () => {
    const store = new Store();
    market(store, average(3));
    read(store, 1, 2, 3);
    store.receiveChanged([{ company: "A", newest: average(2) }]);
    assert.equal(known(store).newest.avgPrice, 2);
    assert.equal(known(store).depth, 0, "it is to be read again");
    assert.deepEqual(known(store).points.time, [1, 2, 3]);
    store.receiveAverages([average(4)]);
    read(store, 1, 2);
    assert.deepEqual(known(store).points.time, [1, 2, 4], "what was told since stays");
  });

  it("ignores an answer from before the change", () => {
    const store = new Store();
    market(store, average(3));
    const { resets } = known(store);
    store.receiveChanged([{ company: "A", newest: average(2) }]);
    store.receiveRecent(recent([1, 2, 3]), 60, resets);
    assert.equal(known(store).depth, 0);
    assert.deepEqual(known(store).points.time, []);
  });

  it("drops a company without averages, and one that the market no longer names; the others keep their colours", () => {
    const store = new Store();
    const names = () => store.companies().map(({ name, colour }) => [name, colour]);
    market(store, average(1, "A"), average(1, "B"), average(1, "C"));
    store.receiveChanged([{ company: "C", newest: null }]);
    assert.deepEqual(names(), [
      ["A", 0],
      ["B", 1],
    ]);
    market(store, average(1, "B"), average(1, "D"));
    assert.deepEqual(names(), [
      ["B", 1],
      ["D", 3],
    ]);
  });

  it("drops nothing before the last part of the market, nor what was told between the parts", () => {
    const store = new Store();
    market(store, average(1, "A"), average(1, "B"), average(1, "C"));
    assert.equal(store.receiveMarket({ part: 0, parts: 2, companies: [average(2, "A")] }), false);
    assert.equal(store.companies().length, 3);
    store.receiveAverages([average(2, "AA")]);
    assert.equal(store.receiveMarket({ part: 1, parts: 2, companies: [average(2, "B")] }), true);
    assert.deepEqual(
      store.companies().map(({ name }) => name),
      ["A", "AA", "B"],
    );
  });

  it("takes the prices of the original live view, which tells all of them again and again", () => {
    const store = new Store();
    const closedAt = "2026-11-27T08:00:00.000Z";
    for (const prices of [
      [
        { _id: "1", company: "A", avgPrice: 1, closedAt },
        { _id: "2", company: "B", avgPrice: 5 },
      ],
      [
        { _id: "1", company: "A", avgPrice: 1, closedAt },
        { _id: "2", company: "B", avgPrice: 5 },
      ],
      [{ _id: "3", company: "A", avgPrice: 2 }],
    ]) {
      store.receivePrices(prices, 9000);
    }
    assert.deepEqual(known(store).points.avgPrice, [1, 2]);
    assert.deepEqual(known(store).points.time, [Date.parse(closedAt), 9000]);
    assert.equal(known(store).newest.seenAt, 9000);
    assert.equal(store.company("B"), undefined, "a company that is no longer told is gone");
  });

  it("remembers the first price since the page was opened", () => {
    const store = new Store();
    market(store, average(3));
    store.receiveAverages([average(4)]);
    market(store, average(5));
    assert.equal(known(store).first, 3);
  });

  it("is bounded", () => {
    const store = new Store();
    const grow = (/** @type {number} */ from) => {
      for (let number = from; number < from + 5 * RECENT_AVERAGES; number += 1)
        store.receiveAverages([average(number)]);
      const { time } = known(store).points;
      assert.equal(time.at(-1), from + 5 * RECENT_AVERAGES - 1);
      return time.length;
    };
    assert.ok(grow(1) < RECENT_AVERAGES / 2, "few points of a company that is not on the screen");
    read(store, 5 * RECENT_AVERAGES);
    const length = grow(5 * RECENT_AVERAGES + 1);
    assert.ok(length >= RECENT_AVERAGES && length < 1.5 * RECENT_AVERAGES, `${length} points`);
  });
});

describe("a company", () => {
  /** @param {number} every  ms @param {object} [others]  of each average */
  const company = (every, others = {}) => {
    const store = new Store();
    for (const number of [0, 1, 2, 3]) store.receiveAverages([average(number * every, "A", others)]);
    return known(store);
  };

  it("is quiet after five times its usual interval, but not before ten seconds", () => {
    assert.equal(isQuiet(company(1000), 12_900), false);
    assert.equal(isQuiet(company(1000), 13_100), true);
    assert.equal(isQuiet(company(60_000), 470_000), false);
    assert.equal(isQuiet(company(60_000), 490_000), true);
  });

  it("is judged by when its windows arrived, not by the consumer's clock", () => {
    const arrived = { seenAt: 1_000_000 };
    assert.equal(isQuiet(company(1000, arrived), 1_005_000), false);
    assert.equal(isQuiet(company(1000, arrived), 1_011_000), true);
  });
});

describe("the status", () => {
  /** @param {...number} numbers */
  const companies = (...numbers) => {
    const store = new Store();
    for (const number of numbers) store.receiveAverages([average(number)]);
    return store.companies();
  };
  /** Connected, current, with a window one second ago. */
  const live = {
    isOpen: true,
    hasEverConnected: true,
    refusal: "",
    isCurrent: true,
    lagMs: 0,
    companies: companies(3000, 4000),
    now: 5000,
  };
  const since = `, prices of ${clock(4000)}`;
  /** @param {object} facts */
  const shown = (facts) => {
    const { state, text } = status({ ...live, ...facts });
    return [state, text];
  };

  it("is live with an open connection, current data and a recent window", () => {
    assert.deepEqual(shown({}), ["live", "Live"]);
  });

  it("is connecting before the first connection, and reconnecting after it", () => {
    const closed = { isOpen: false, isCurrent: false };
    assert.deepEqual(shown({ ...closed, hasEverConnected: false, companies: [] }), ["connecting", "Connecting"]);
    assert.deepEqual(shown(closed), ["reconnecting", `Reconnecting${since}`]);
    assert.deepEqual(shown({ ...closed, companies: [] }), ["reconnecting", "Reconnecting"]);
  });

  it("says why a live view refuses the page", () => {
    const refused = { isOpen: false, refusal: "origin https://a.example is not allowed: set ALLOWED_ORIGINS" };
    assert.deepEqual(shown(refused), ["reconnecting", `Refused${since}`]);
    assert.equal(status({ ...live, ...refused }).why, refused.refusal);
  });

  it("names the database when the live view's data is not current", () => {
    assert.deepEqual(shown({ isCurrent: false }), ["stale", `Database away${since}`]);
    assert.deepEqual(shown({ isCurrent: false, companies: [] }), ["stale", "Database away"]);
  });

  it("says that the live view is behind the database", () => {
    const behind = { isCurrent: false, lagMs: 61_000 };
    assert.deepEqual(shown(behind), ["stale", `Behind${since}`]);
    assert.match(status({ ...live, ...behind }).why, /1 min ago/);
  });

  it("is waiting until the first window", () => {
    assert.deepEqual(shown({ companies: [] }), ["waiting", "Waiting"]);
  });

  it("is stale only when every company is quiet", () => {
    assert.deepEqual(shown({ now: 60_000 }), ["stale", `Stale${since}`]);
    const mixed = new Store();
    mixed.receiveAverages([average(4000), average(59_000, "B")]);
    assert.deepEqual(shown({ companies: mixed.companies(), now: 60_000 }), ["live", "Live"]);
  });

  it("explains each state in a sentence", () => {
    for (const facts of [{}, { isOpen: false }, { isCurrent: false }, { companies: [] }, { now: 60_000 }]) {
      assert.match(status({ ...live, ...facts }).why, /^[A-Z].*\.$/);
    }
  });
});
