/** The feed, through what happens to a database. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Long } from "mongodb";
import { follow, numbers, openFollowed, pricesOf, servers } from "./follow.js";
import { closeAfter, eventually, openDatabase, startMongod, window } from "./support.js";

describe("the feed", () => {
  it("misses no window and shows none twice when the primary is killed", async (test) => {
    const { database, followed } = await openFollowed(test);
    const stop = new AbortController();
    let stored = 0;
    const storing = (async () => {
      while (!stop.signal.aborted) {
        // As the consumer does: a write whose outcome is unknown goes out again under its _id until it is there.
        const document = { _id: `${stored}`.padStart(6, "0"), ...window("MSFT", stored) };
        for (let isStored = false; !isStored;) {
          isStored = await database.store(document).then(
            () => true,
            (error) => error.code === 11000,
          );
        }
        stored += 1;
        await sleep(50);
      }
    })();
    await eventually(() => followed.averages.length >= 10, "it flows");

    const killed = await servers("primary");
    await servers("kill", killed);
    const storedBefore = stored;
    try {
      await eventually(() => stored > storedBefore + 20, "a new primary takes windows", 40_000);
    } finally {
      stop.abort();
      await storing;
      await servers("start", killed);
    }
    await eventually(() => followed.averages.at(-1)?.avgPrice === stored - 1, "the last window is shown");
    assert.deepEqual(pricesOf(followed.averages), numbers(stored));
    assert.equal(followed.reloads.length, 1);
    await eventually(() => followed.feed.isCurrent && followed.feed.lagMs === 0, "it is current");
  });

  it("goes on after the whole database was down, and is not current meanwhile", async (test) => {
    const closing = closeAfter(test);
    const single = await startMongod();
    closing(() => single.stop());
    const database = await openDatabase({ url: single.url });
    closing(() => database.close());
    await database.store(window("MSFT", 1));
    const { feed, market, prices } = await follow(closing, database);
    await single.kill();
    await eventually(() => !feed.isCurrent, "it is not current");
    assert.deepEqual(prices("MSFT"), [1], "what was known is still shown");
    assert.equal(market.isLoaded, true);
    single.start();
    await database.store(window("MSFT", 2));
    await eventually(() => prices("MSFT").at(-1) === 2, "new windows are shown again");
    await eventually(() => feed.isCurrent, "it is current");
    assert.deepEqual(prices("MSFT"), [1, 2]);
  });

  it("polls a standalone MongoDB twice a second, and logs it", async (test) => {
    const closing = closeAfter(test);
    const single = await startMongod();
    closing(() => single.stop());
    const database = await openDatabase({ url: single.url });
    closing(() => database.close());
    await database.store(window("MSFT", 1));
    const { feed, averages, lines, newest, reloads } = await follow(closing, database);
    assert.match(lines.join(""), /no replica set, thus no change stream: asking twice a second/);
    assert.equal(feed.state, "polling");
    assert.equal(feed.lagMs, 0);
    for (const price of [2, 3, 4]) await database.store(window("MSFT", price));
    await database.store(window("NEW", 9), { _id: 1, company: "NUMBER", avgPrice: 8 });
    await eventually(() => newest().NUMBER === 8 && newest().MSFT === 4, "new averages");
    await database.collection.updateOne({ company: "NUMBER" }, { $set: { avgPrice: 7 } });
    await database.collection.deleteMany({ avgPrice: { $in: [4, 9] } });
    await eventually(() => newest().NUMBER === 7 && newest().MSFT === 3 && !("NEW" in newest()), "what became of them");
    const ofMsft = averages.filter(({ company }) => company === "MSFT");
    assert.deepEqual(pricesOf(ofMsft), [2, 3, 4], "what is read again is not told again");
    assert.equal(reloads.length, 1);
  });

  for (const isStandalone of [false, true]) {
    it(`works without the index, and warns once${isStandalone ? ", also with a standalone MongoDB" : ""}`, async (test) => {
      const closing = closeAfter(test);
      const single = isStandalone ? await startMongod() : undefined;
      closing(() => single?.stop());
      const database = await openDatabase({ isIndexed: false, ...(single && { url: single.url }) });
      closing(() => database.close());
      await database.store(...[1, 2, 3].map((avgPrice) => ({ company: "BARE", avgPrice })));
      const { prices, lines } = await follow(closing, database);
      await database.store({ company: "BARE", avgPrice: 4 });
      await eventually(() => prices("BARE").length === 4, "all are shown");
      await database.collection.deleteMany({ avgPrice: { $gt: 1 } });
      await eventually(() => prices("BARE").length === 1, "what is there is shown");
      assert.equal(lines.filter((line) => line.includes("index")).length, 1);
    });
  }

  it("tells 64-bit _ids apart that differ by 1", async (test) => {
    const { database, closing, followed } = await openFollowed(test);
    const ids = ["9007199254740992", "9007199254740993", "9007199254740994"];
    for (const [index, digits] of ids.entries()) {
      await database.store({ _id: Long.fromString(digits), company: "LONG", avgPrice: index });
    }
    await eventually(() => followed.averages.length === 3, "all are shown");
    assert.deepEqual(pricesOf(followed.averages), [0, 1, 2]);
    assert.deepEqual(followed.changed, []);
    const other = await follow(closing, database);
    for (const { market } of [followed, other]) {
      assert.deepEqual(
        market.recent("LONG").map(({ _id }) => _id),
        ids,
      );
    }
  });

  it("limits the text of very long _ids, and gets past changes that are too large to be told", async (test) => {
    const { database, closing, followed } = await openFollowed(test);
    for (const [avgPrice, megabytes] of [1, 1, 3, 3].entries()) {
      await database.store({ _id: avgPrice + "x".repeat(megabytes * 1_000_000), company: "TEXT", avgPrice });
    }
    await database.store({ _id: "9", company: "TEXT", avgPrice: 9 });
    await eventually(() => followed.newest().TEXT === 9, "changes flow");
    await eventually(() => followed.feed.isCurrent, "it is current");
    const other = await follow(closing, database);
    for (const { market, prices } of [followed, other]) {
      assert.deepEqual(prices("TEXT"), [0, 1, 2, 3, 9]);
      const ids = market.recent("TEXT").map(({ _id }) => _id);
      assert.ok(
        ids.every((id) => id.length <= 100),
        ids.join(),
      );
      assert.equal(new Set(ids).size, 5);
    }
  });

  it("shows the older averages of a company whose newest were deleted", async (test) => {
    const closing = closeAfter(test);
    const database = await openDatabase();
    closing(() => database.close());
    await database.store(...numbers(700).map((_id) => ({ _id, company: "MANY", avgPrice: _id })));
    const { averages, market, prices, reloads } = await follow(closing, database);
    assert.deepEqual(prices("MANY"), numbers(300, 400));
    let isGone = false;
    market.on("changed", () => (isGone ||= market.newestOf("MANY") === undefined));
    await database.collection.deleteMany({ _id: { $gte: 350 } });
    await eventually(() => prices("MANY").at(-1) === 349 && prices("MANY").length === 300, "the older ones");
    assert.deepEqual(prices("MANY"), numbers(300, 50));
    await database.store({ _id: 1000, company: "MANY", avgPrice: 1000 });
    await eventually(() => prices("MANY").at(-1) === 1000, "new ones");
    assert.deepEqual(prices("MANY"), [...numbers(299, 51), 1000]);
    assert.equal(isGone, false, "it never vanishes");
    assert.deepEqual([pricesOf(averages), reloads.length], [[1000], 1]);
    await database.collection.deleteMany({});
    await eventually(() => market.companies().length === 0, "none are left");
  });

  it("moves a document whose company changes, and removes one that becomes invalid", async (test) => {
    const { database, followed } = await openFollowed(test);
    await database.store({ _id: 1, company: "A", avgPrice: 1 }, { _id: 2, company: "A", avgPrice: 2 });
    await eventually(() => followed.newest().A === 2, "both");
    await database.collection.updateOne({ _id: 2 }, { $set: { company: "B" } });
    await eventually(() => followed.newest().B === 2, "it moved");
    assert.deepEqual(followed.newest(), { A: 1, B: 2 });
    await database.collection.updateOne({ _id: 2 }, { $set: { avgPrice: "2" } });
    await eventually(() => !("B" in followed.newest()), "it is gone");
    await database.collection.updateOne({ _id: 2 }, { $set: { avgPrice: 3 } });
    await eventually(() => followed.newest().B === 3, "it is back");
    assert.equal(followed.reloads.length, 1);
  });

  it("takes one document per company that is updated in place for fresh averages", async (test) => {
    const { database, followed } = await openFollowed(test);
    const began = Date.now();
    for (const [index, avgPrice] of [1, 2, 2].entries()) {
      await database.collection.updateOne(
        { _id: "MSFT" },
        { $set: { company: "MSFT", avgPrice, n: Math.random() } },
        {
          upsert: true,
          writeConcern: { w: "majority" },
        },
      );
      await eventually(() => followed.averages.length === index + 1, "it counts");
    }
    assert.deepEqual(pricesOf(followed.averages), [1, 2, 2]);
    assert.deepEqual(followed.changed, []);
    const times = followed.averages.map(({ time, seenAt }) => [time, seenAt]).flat();
    assert.deepEqual(times, [...times].sort(), "each is newer");
    assert.ok(times[0] >= began && new Set(times).size === 3, times.join());
  });

  it("shows the first companies of the alphabet when there are too many, and says so once", async (test) => {
    const closing = closeAfter(test);
    const database = await openDatabase();
    closing(() => database.close());
    await database.store(...["D", "E", "B"].map((company) => window(company, 1)));
    const first = await follow(closing, database, { limits: { companies: 3 } });
    await database.store(...["C", "A", "F"].map((company) => window(company, 2)));
    await eventually(() => first.market.hiddenCompanies === 3, "three are hidden");
    const second = await follow(closing, database, { limits: { companies: 3 } });
    for (const { market, lines } of [first, second]) {
      assert.deepEqual(market.companies(), ["A", "B", "C"]);
      assert.equal(market.hiddenCompanies, 3);
      assert.equal(lines.filter((line) => line.includes("too many companies")).length, 1);
    }
    await database.collection.deleteMany({ company: "B" });
    await eventually(() => first.newest().D === 1 && second.newest().D === 1, "there is room for the next one");
    assert.deepEqual(first.newest(), { A: 2, C: 2, D: 1 });
  });
});
