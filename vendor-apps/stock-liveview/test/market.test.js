import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Long } from "mongodb";
import { RECENT_AVERAGES } from "../page/contract.js";
import { parseAverage } from "../src/average.js";
import { Market } from "../src/market.js";

const NOW = 1_700_000_000_000;

/** @param {unknown} id @param {string} [company] @param {unknown} [avgPrice] @param {object} [others] */
const document = (id, company = "A", avgPrice = id, others = {}) => ({ _id: id, company, avgPrice, ...others });

/** @param {ConstructorParameters<typeof Market>} limits */
function watchedMarket(...limits) {
  const market = new Market(...limits);
  /** @type {(number | string)[]} */
  const events = [];
  market.on("average", ({ avgPrice }) => events.push(avgPrice));
  market.on("changed", (company) => events.push(`changed ${company}`));
  market.on("reloaded", () => events.push("reloaded"));
  market.on("skipped", () => events.push("skipped"));
  return { market, events };
}

/** What a query of these documents finds. @param {unknown[]} documents  oldest first */
const found = (documents, now = NOW) => documents.flatMap((one) => parseAverage(one, now) ?? []);

/** Loads what the database has. @param {Market} market @param {Record<string, any[]>} companies  oldest first */
function load(market, companies, isWhole = true, now = NOW) {
  const picture = market.draft(Object.keys(companies));
  for (const company of picture.companies) picture.add(company, found(companies[company], now), isWhole, now);
  market.load(picture);
}

/** @param {Market} market @param {string} [company] */
const prices = (market, company = "A") => market.recent(company).map(({ avgPrice }) => avgPrice);

/** @param {number} from @param {number} to @param {string} [company] */
const documents = (from, to, company) =>
  Array.from({ length: to - from + 1 }, (_, index) => document(from + index, company));

describe("the market", () => {
  it("emits each average once, however often it is added", () => {
    const { market, events } = watchedMarket();
    for (const id of [1, 2, 2, 1, 3]) market.add(document(id));
    assert.deepEqual(events, [1, 2, 3]);
    assert.deepEqual(prices(market), [1, 2, 3]);
  });

  it("treats the highest _id as the newest, whatever the order of arrival", () => {
    const { market, events } = watchedMarket();
    for (const id of [2, 5, 1, 4, 3]) market.add(document(id));
    assert.deepEqual(prices(market), [1, 2, 3, 4, 5]);
    assert.equal(market.newest()[0].avgPrice, 5);
    assert.deepEqual(events, [2, 5, "changed A", "changed A", "changed A"], "what is stored late is not the newest");
  });

  it("tells 64-bit _ids apart that differ by 1", () => {
    const { market, events } = watchedMarket();
    for (const [index, digits] of ["9007199254740992", "9007199254740993", "9007199254740994"].entries()) {
      market.add(document(Long.fromString(digits), "A", index));
    }
    assert.deepEqual(events, [0, 1, 2]);
    assert.deepEqual(
      market.recent("A").map(({ _id }) => _id),
      ["9007199254740992", "9007199254740993", "9007199254740994"],
    );
  });

  it("shows companies in alphabetical order", () => {
    const { market } = watchedMarket();
    for (const [id, company] of ["TSLA", "AAPL", "msft", "Ärger"].entries()) market.add(document(id, company));
    assert.deepEqual(
      market.newest().map(({ company }) => company),
      ["AAPL", "Ärger", "msft", "TSLA"],
    );
  });

  it("keeps only the newest averages of each company", () => {
    const { market, events } = watchedMarket();
    for (let id = 1; id <= RECENT_AVERAGES + 50; id += 1) market.add(document(id));
    assert.equal(prices(market).length, RECENT_AVERAGES);
    assert.equal(prices(market)[0], 51);
    for (const id of [400, 399, 398]) market.add(document(id));
    market.remove(400);
    market.add(document(3));
    assert.equal(prices(market)[0], 54, "one older than all that are kept stays out, also when there is room");
    assert.equal(events.at(-1), "changed A");
  });

  it("tells a correction of an older average as a change", () => {
    const { market, events } = watchedMarket();
    market.add(document(1, "A", 10));
    market.add(document(2, "A", 20));
    market.add(document(1, "A", 11), { isUpdate: true });
    assert.deepEqual(events, [10, 20, "changed A"]);
    assert.deepEqual(prices(market), [11, 20]);
  });

  it("takes an update of the newest average for fresh, also when it shows the same", () => {
    const market = new Market();
    /** @type {any[]} */
    const told = [];
    market.on("average", (average) => told.push(average));
    const closedAt = new Date(NOW - 15_000);
    market.add(document("one", "A", 1, { closedAt }), { now: NOW });
    market.add(document("one", "A", 1, { closedAt }), { now: NOW + 1000, isUpdate: true });
    market.add(document("one", "A", 2), { now: NOW + 2000, isUpdate: true });
    market.add(document("one", "A", 2), { now: NOW + 3000, isUpdate: true });
    assert.deepEqual(
      told.map(({ _id, avgPrice, time, seenAt }) => [_id, avgPrice, time - NOW, seenAt - NOW]),
      [
        ["one", 1, -15_000, 0],
        ["one", 1, -15_000, 1000],
        ["one", 2, 2000, 2000],
        ["one", 2, 3000, 3000],
      ],
    );
    assert.equal(market.recent("A").length, 1);
  });

  it("says when it saw an average, whatever the consumer's clock says", () => {
    const market = new Market();
    const late = { closedAt: new Date(NOW - 15_000) };
    const early = { closedAt: new Date(NOW + 3_600_000) };
    load(market, { A: [document(1, "A", 1, late)], B: [document(2, "B", 1, early)] });
    const seen = () => market.newest().map(({ seenAt, time }) => [seenAt - NOW, time - NOW]);
    assert.deepEqual(seen(), [
      [-15_000, -15_000],
      [0, 3_600_000],
    ]);
    market.add(document(3, "A", 1, late), { now: NOW + 500 });
    market.add(document(4, "B", 1, early), { now: NOW + 600 });
    market.add(document(5, "B", 1, late), { now: NOW + 700 });
    assert.deepEqual(seen(), [
      [500, -15_000],
      [700, -15_000],
    ]);
    load(market, { A: [document(3, "A", 1, late)], B: [document(5, "B", 1, late)] }, true, NOW + 9000);
    assert.equal(market.newestOf("A")?.seenAt, NOW + 500, "a reload does not forget it");
  });

  it("removes deleted averages, and a company with its last average", () => {
    const { market, events } = watchedMarket();
    for (const id of [1, 2]) market.add(document(id));
    market.remove(2);
    assert.deepEqual(prices(market), [1]);
    market.remove(1);
    market.remove(9);
    assert.deepEqual(market.companies(), []);
    assert.deepEqual(events, [1, 2, "changed A", "changed A"]);
    assert.equal(market.isShort, false, "the database has no more");
  });

  it("asks for older averages when those that it keeps were deleted", () => {
    const { market, events } = watchedMarket();
    load(market, { A: documents(101, 400) }, false);
    for (let id = 400; id > 101; id -= 1) market.remove(id);
    assert.equal(market.isShort, true);
    assert.equal(market.isEmptied, false);
    market.remove(101);
    assert.equal(market.isEmptied, true);
    assert.deepEqual(market.companies(), ["A"], "the company does not vanish meanwhile");
    assert.deepEqual(market.takeShort(), ["A"]);
    events.length = 0;
    market.refresh("A", found(documents(1, 100)), true);
    assert.deepEqual(events, ["changed A"]);
    assert.deepEqual(
      prices(market),
      documents(1, 100).map(({ avgPrice }) => avgPrice),
    );
    market.remove(100);
    market.refresh("A", [], true);
    assert.deepEqual(market.companies(), []);
  });

  it("moves an average whose company was changed, and removes one that became invalid", () => {
    const { market, events } = watchedMarket();
    market.add(document(1, "A"));
    market.add(document(1, "B"), { isUpdate: true });
    assert.deepEqual(market.companies(), ["B"]);
    market.add(document(1, "B", "1"), { isUpdate: true });
    assert.deepEqual(market.companies(), []);
    assert.deepEqual(events, [1, "changed A", 1, "changed B", "skipped"]);
  });

  it("ignores the removal of what it does not keep", () => {
    const { market, events } = watchedMarket();
    for (let id = 1; id <= RECENT_AVERAGES + 1; id += 1) market.add(document(id));
    market.remove(1);
    assert.equal(events.includes("changed A"), false);
  });

  it("skips documents that are not averages, and emits it", () => {
    const { market, events } = watchedMarket();
    market.add({ _id: 1, company: "A" });
    assert.deepEqual(events, ["skipped"]);
    assert.deepEqual(market.newest(), []);
  });

  it("is loaded from one moment to the next, and told once", () => {
    const { market, events } = watchedMarket();
    assert.equal(market.isLoaded, false);
    load(market, { A: documents(1, 3, "A"), EMPTY: [], B: documents(4, 5, "B") });
    assert.equal(market.isLoaded, true);
    const picture = market.draft(["C"]);
    picture.add("C", found(documents(9, 9, "C")), true);
    assert.deepEqual(market.companies(), ["A", "B"], "until then it is as before");
    market.load(picture);
    assert.deepEqual(market.companies(), ["C"]);
    market.remove(1);
    market.add(document(10, "C"));
    assert.deepEqual(events, ["reloaded", "reloaded", 10]);
  });

  it("tells what a poll found: new ones, updated ones, removed ones", () => {
    const { market, events } = watchedMarket();
    load(market, { A: documents(1, 30) });
    market.refresh("A", found(documents(11, 30)), false);
    assert.deepEqual(events, ["reloaded"], "nothing new");
    market.refresh("A", found(documents(13, 32)), false);
    assert.deepEqual(events.splice(0), ["reloaded", 31, 32]);
    market.refresh("A", found([...documents(13, 31), document(32, "A", 33)]), false, NOW + 5);
    assert.deepEqual(events.splice(0), [33]);
    assert.equal(market.newestOf("A")?.seenAt, NOW);
    market.refresh("A", found(documents(12, 31)), false);
    assert.deepEqual(events.splice(0), ["changed A"]);
    assert.equal(prices(market).length, 31);
    market.refresh("A", found(documents(101, 120)), false);
    assert.equal(prices(market).length, 20, "what may be between is not known");
    assert.deepEqual(market.takeShort(), ["A"]);
    assert.deepEqual(
      events.splice(0),
      documents(101, 120).map(({ avgPrice }) => avgPrice),
    );
  });

  it("shows the first companies of the alphabet when there are too many, and counts the others", () => {
    const names = Array.from({ length: 8 }, (_, index) => `C${index}`);
    const orders = [names, [...names].reverse(), [3, 7, 0, 5, 1, 6, 2, 4].map((index) => names[index])];
    for (const order of orders) {
      const { market } = watchedMarket({ companies: 5 });
      for (const [id, company] of order.entries()) market.add(document(id, company));
      assert.deepEqual(market.companies(), names.slice(0, 5), order.join());
      assert.deepEqual(
        market.newest().map(({ company }) => company),
        names.slice(0, 5),
      );
      assert.equal(market.hiddenCompanies, 3);
    }
  });

  it("shows a hidden company, from the database, when there is room", () => {
    const { market } = watchedMarket({ companies: 2 });
    for (const [id, company] of ["A", "B", "C"].entries()) market.add(document(id, company));
    assert.deepEqual([market.companies(), market.hiddenCompanies], [["A", "B"], 1]);
    market.remove(0);
    assert.deepEqual(market.takeShort(), ["C"]);
    market.refresh("C", found([document(2, "C")]), true);
    assert.deepEqual([market.companies(), market.hiddenCompanies], [["B", "C"], 0]);
    assert.equal(market.newest().length, 2);
  });

  it("keeps a bounded number of averages, the same of each company", () => {
    const { market } = watchedMarket({ averages: 1000 });
    for (let id = 0; id < 6000; id += 1) market.add(document(id, `C${id % 30}`));
    const kept = market.companies().map((company) => market.recent(company).length);
    assert.ok(Math.max(...kept) * 30 <= 1000, `${kept}`);
    assert.ok(Math.min(...kept) >= 20, `${kept}`);
    for (let id = 6000; id < 12_000; id += 1) market.add(document(id, `C${id % 100}`));
    assert.ok(market.companies().every((company) => market.recent(company).length === 20));
  });

  it("adds ten thousand companies within a second", () => {
    const { market } = watchedMarket();
    const began = performance.now();
    for (let id = 0; id < 10_000; id += 1) market.add(document(id, `C${(id * 7919) % 10_000}`));
    assert.ok(performance.now() - began < 1000, `${performance.now() - began} ms`);
    assert.equal(market.companies().length, 10_000);
  });
});
