/** Which companies the overview shows, and in which order. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isLive, search, sorted } from "../page/selection.js";
import { Store } from "../page/store.js";
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
