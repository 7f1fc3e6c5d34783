import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RECENT_AVERAGES } from "../page/contract.js";
import { Market } from "../src/market.js";

/** @param {number} id @param {string} [company] @param {number} [avgPrice] */
const document = (id, company = "A", avgPrice = id) => ({ _id: id, company, avgPrice });

function watchedMarket() {
  const market = new Market();
  /** @type {(number | string)[]} */
  const events = [];
  market.on("average", ({ avgPrice }) => events.push(avgPrice));
  market.on("changed", () => events.push("replaced"));
  market.on("skipped", () => events.push("skipped"));
  return { market, events };
}

/** @param {Market} market @param {string} [company] */
const prices = (market, company = "A") => market.recent(company).map(({ avgPrice }) => avgPrice);

describe("the market", () => {
  it("emits each average once, however often it is added", () => {
    const { market, events } = watchedMarket();
    for (const id of [1, 2, 2, 1, 3]) market.add(document(id));
    assert.deepEqual(events, [1, 2, 3]);
    assert.deepEqual(prices(market), [1, 2, 3]);
  });

  it("treats the highest _id as the newest, whatever the order of arrival", () => {
    const { market } = watchedMarket();
    for (const id of [2, 5, 1, 4, 3]) market.add(document(id));
    assert.deepEqual(prices(market), [1, 2, 3, 4, 5]);
    assert.equal(market.newest()[0].avgPrice, 5);
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
    const { market } = watchedMarket();
    for (let id = 1; id <= RECENT_AVERAGES + 50; id += 1) market.add(document(id));
    assert.equal(prices(market).length, RECENT_AVERAGES);
    assert.equal(prices(market)[0], 51);
    market.add(document(3));
    assert.equal(prices(market)[0], 51, "one older than all that are kept stays out");
  });

  it("replaces an average that was changed", () => {
    const { market, events } = watchedMarket();
    market.add(document(1, "A", 10));
    market.add(document(1, "A", 11));
    assert.deepEqual(events, [10, "replaced"]);
    assert.deepEqual(prices(market), [11]);
  });

  it("removes deleted averages, and a company with its last average", () => {
    const { market, events } = watchedMarket();
    for (const id of [1, 2]) market.add(document(id));
    market.remove("2");
    assert.deepEqual(prices(market), [1]);
    market.remove("1");
    market.remove("9");
    assert.deepEqual(market.companies(), []);
    assert.deepEqual(events, [1, 2, "replaced", "replaced"]);
  });

  it("moves an average whose company was changed", () => {
    const { market, events } = watchedMarket();
    market.add(document(1, "A"));
    market.add(document(1, "B"));
    assert.deepEqual(market.companies(), ["B"]);
    market.remove("1");
    assert.deepEqual(market.companies(), []);
    assert.deepEqual(events, [1, "replaced", 1, "replaced"]);
  });

  it("ignores the removal of what it does not keep", () => {
    const { market, events } = watchedMarket();
    for (let id = 1; id <= RECENT_AVERAGES + 1; id += 1) market.add(document(id));
    market.remove("1");
    assert.equal(events.includes("replaced"), false);
  });

  it("skips documents that are not averages, and emits it", () => {
    const { market, events } = watchedMarket();
    market.add({ _id: 1, company: "A" });
    assert.deepEqual(events, ["skipped"]);
    assert.deepEqual(market.newest(), []);
  });

  it("limits the number of companies, and never drops a known one", () => {
    const { market, events } = watchedMarket();
    for (let index = 0; index < 600; index += 1) market.add(document(index, `C${index}`));
    assert.equal(market.companies().length, 500);
    assert.equal(events.filter((event) => event === "skipped").length, 100);
    market.add(document(1000, "C0"));
    assert.equal(prices(market, "C0").at(-1), 1000);
  });
});
