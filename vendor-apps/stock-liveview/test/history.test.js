/** Past averages, from a real replica set. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Long, ObjectId } from "mongodb";
import { parseAverage } from "../src/average.js";
import { History } from "../src/history.js";
import { createLog } from "../src/log.js";
import { Market } from "../src/market.js";
import { recentAnswer } from "../src/recent.js";
import { closeAfter, openDatabase, window } from "./support.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let count = 0;

/** An ObjectId of that age. @param {number} age  ms */
function idOfAge(age) {
  const seconds = Math.floor((Date.now() - age) / 1000);
  count += 1;
  return new ObjectId(seconds.toString(16).padStart(8, "0") + count.toString(16).padStart(16, "0"));
}

/** @param {import("node:test").TestContext} test */
async function openHistory(test) {
  const closing = closeAfter(test);
  const database = await openDatabase();
  closing(() => database.close());
  return { database, ...historyOf(database.collection) };
}

/** @param {import("./support.js").Collection} collection */
function historyOf(collection) {
  const market = new Market();
  const log = createLog({ format: "json", level: "debug", write: () => {} });
  const history = new History(collection, log, market);
  return {
    market,
    history,
    /** @param {string} company @param {string} range @returns {Promise<any>} */
    read: async (company, range) => (await history.answer(new URLSearchParams({ company, range }))).body,
    /** @param {string} ago @returns {Promise<any>} */
    past: async (ago) => (await history.past(new URLSearchParams({ ago }))).body,
  };
}

/** Loads what a feed would. @param {Market} market @param {import("./support.js").Collection} collection @param {number} [limit] */
async function load(market, collection, limit = 300) {
  const picture = market.draft(await collection.distinct("company"));
  for (const company of picture.companies) {
    const documents = await collection.find({ company }, { sort: { _id: -1 }, limit }).toArray();
    const found = documents.flatMap((document) => parseAverage(document, Date.now()) ?? []).reverse();
    picture.add(company, found, documents.length < limit);
  }
  market.load(picture);
}

describe("history", () => {
  it("is kept for many askers, and read again when the company's past changed", async (test) => {
    const { database, market, read } = await openHistory(test);
    const documents = [3, 2, 1].map((age) => ({ _id: idOfAge(age * MINUTE), company: "A", avgPrice: age }));
    await database.store(...documents);
    await load(market, database.collection);
    assert.deepEqual((await read("A", "7d")).avgPrice, [3, 2, 1]);
    await database.collection.deleteOne({ _id: documents[1]._id });
    assert.deepEqual((await read("A", "7d")).avgPrice, [3, 2, 1], "nobody has said so yet");
    market.remove(documents[1]._id);
    assert.deepEqual((await read("A", "7d")).avgPrice, [3, 1]);
    await database.collection.deleteOne({ _id: documents[0]._id });
    await load(market, database.collection);
    assert.deepEqual((await read("A", "7d")).avgPrice, [1], "after everything was read again");
  });

  it("of any length is sampled: a bounded answer over the whole range", async (test) => {
    const { database, read } = await openHistory(test);
    const now = Date.now();
    const documents = Array.from({ length: 6000 }, (_, index) => {
      return { _id: idOfAge(86_000_000 - index * 14_000), company: "LONG", avgPrice: index };
    });
    await database.store(...documents);
    const { time, avgPrice } = await read("LONG", "1d");
    assert.ok(time.length > 200 && time.length <= 241, `${time.length} points`);
    assert.ok(time[0] < now - 85_000_000, "from the start of the range");
    assert.equal(avgPrice.at(-1), 5999, "to the newest");
    assert.equal(new Set(avgPrice).size, avgPrice.length, "each once");
    assert.deepEqual(
      time,
      [...time].sort((a, b) => a - b),
    );
  });

  it("is there for _ids of any type: the newest, without those that are known to be older", async (test) => {
    const { database, read } = await openHistory(test);
    const big = Long.fromString("9007199254740992");
    await database.store(
      ...Array.from({ length: 1500 }, (_, index) => ({ _id: big.add(index), company: "LONG", avgPrice: index })),
      ...[3 * HOUR, 2 * MINUTE, MINUTE].map((age, index) => {
        return { _id: `t${index}`, company: "TEXT", avgPrice: index, closedAt: new Date(Date.now() - age) };
      }),
      { _id: 1, company: "MIXED", avgPrice: 1 },
      { _id: 2, company: "MIXED", avgPrice: 2, closedAt: new Date(Date.now() - 2 * HOUR) },
      { _id: idOfAge(2 * HOUR), company: "MIXED", avgPrice: 3 },
      { _id: idOfAge(MINUTE), company: "MIXED", avgPrice: 4 },
      { _id: new Date(), company: "MIXED", avgPrice: 5 },
    );
    const { avgPrice } = await read("LONG", "15m");
    assert.deepEqual(
      avgPrice,
      Array.from({ length: 1000 }, (_, index) => 500 + index),
    );
    assert.deepEqual((await read("TEXT", "1h")).avgPrice, [1, 2]);
    assert.deepEqual((await read("TEXT", "6h")).avgPrice, [0, 1, 2]);
    assert.deepEqual((await read("MIXED", "1h")).avgPrice, [1, 4, 5]);
  });

  it("is in the order of the _ids, whatever the clocks say", async (test) => {
    const { database, read } = await openHistory(test);
    const closings = [-2 * MINUTE, HOUR, -MINUTE];
    const windows = closings.map((ahead, index) => {
      return window("A", index, { _id: idOfAge(3000 - index), closedAt: new Date(Date.now() + ahead) });
    });
    await database.store(...windows);
    assert.deepEqual((await read("A", "15m")).avgPrice, [0, 1, 2]);
  });
});

describe("the past", () => {
  it("is every company's newest price that is at least that old", async (test) => {
    const { database } = await openHistory(test);
    const companies = ["MSFT", "TSLA", "__proto__"];
    const ages = { 1: 30 * HOUR, 2: 25 * HOUR, 3: 2 * HOUR, 4: 59 * MINUTE, 5: 6 * MINUTE, 6: MINUTE };
    await database.store(
      ...companies.flatMap((company) =>
        Object.entries(ages).map(([price, age]) => ({ _id: idOfAge(age), company, avgPrice: Number(price) })),
      ),
      { _id: idOfAge(MINUTE), company: "NEW", avgPrice: 1 },
      { _id: 1, company: "NUMBER", avgPrice: 1, closedAt: new Date(Date.now() - 3 * HOUR) },
      { _id: 2, company: "NUMBER", avgPrice: 2, closedAt: new Date(Date.now() - 2 * HOUR) },
      { _id: 3, company: "NUMBER", avgPrice: 3, closedAt: new Date() },
    );
    // From memory as far as that goes, else from the database: both tell the same.
    for (const limit of [300, 3, 1]) {
      const { market, past } = historyOf(database.collection);
      await load(market, database.collection, limit);
      for (const [ago, price, number] of /** @type {const} */ ([
        ["5m", 5, 2],
        ["1h", 3, 2],
        ["1d", 2, undefined],
      ])) {
        const { prices, at } = await past(ago);
        const expected = companies.map((company) => [company, price]);
        if (number) expected.push(["NUMBER", number]);
        assert.deepEqual(Object.entries(prices).sort(), expected.sort(), `${ago}, ${limit} in memory`);
        assert.ok(at < Date.now() - 4 * MINUTE);
      }
    }
  });

  it("is read once for all who ask, and refused when the question is invalid", async (test) => {
    const { database, market, history, past } = await openHistory(test);
    await database.store({ _id: idOfAge(2 * HOUR), company: "A", avgPrice: 1 });
    await load(market, database.collection, 1);
    const answers = await Promise.all(Array.from({ length: 50 }, () => past("1h")));
    assert.deepEqual(answers[0].prices, { A: 1 });
    assert.ok(answers.every((answer) => answer === answers[0]));
    for (const ago of ["", "1y", "__proto__"]) {
      assert.equal((await history.past(new URLSearchParams({ ago }))).status, 400);
    }
  });
});

describe("what is recent", () => {
  const market = new Market();
  for (let id = 1; id <= 100; id += 1) {
    for (const company of ["A", "B"]) market.add(window(company, 100 + id, { _id: `${company}${id + 100}` }));
  }
  /** @param {string} query @returns {any} */
  const ask = (query) => recentAnswer(market, new URLSearchParams(query));

  it("is the newest averages of the companies asked for, oldest first", () => {
    const { status, body } = ask("company=B&company=NONE&company=A&company=A&limit=2");
    assert.equal(status, 200);
    assert.deepEqual(
      body.companies.map((/** @type {any} */ { company, id, avgPrice, buy, sell }) => ({
        company,
        id,
        avgPrice,
        buy,
        sell,
      })),
      ["B", "A"].map((company) => ({
        company,
        id: [`${company}199`, `${company}200`],
        avgPrice: [199, 200],
        buy: [199.5, 200.5],
        sell: [198.5, 199.5],
      })),
    );
    assert.equal(body.companies[0].time.length, 2);
  });

  it("is limited", () => {
    const many = Array.from({ length: 50 }, (_, index) => `company=C${index}`).join("&");
    assert.equal(ask(`${many}&limit=60`).status, 200);
    for (const query of ["", "limit=9", "company=A", "company=A&limit=0", "company=A&limit=-1", `${many}&limit=61`]) {
      assert.equal(ask(query).status, 400, query);
    }
    assert.equal(ask(`company=${"A".repeat(65)}&limit=1`).status, 400);
  });
});
