/** The feed, when the collection is dropped, renamed or restored, or its place is lost. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { MongoClient } from "mongodb";
import { follow, newestOf, numbers, openFollowed, pricesOf, startRelay, startReplicaSet } from "./follow.js";
import { closeAfter, eventually, openDatabase, window } from "./support.js";

describe("the feed reads everything again once", () => {
  const document = (/** @type {number} */ price) => window("MSFT", price);
  /** What happens, and what is there afterwards. @type {Record<string, (database: Awaited<ReturnType<typeof openDatabase>>) => Promise<Record<string, number[]>>>} */
  const events = {
    "when the collection is dropped": async ({ collection }) => {
      await collection.drop();
      return {};
    },
    "when the database is dropped": async ({ db }) => {
      await db.dropDatabase();
      return {};
    },
    "when the collection is renamed": async ({ collection, db }) => {
      await db.renameCollection(collection.collectionName, "away");
      return {};
    },
    "when another collection is renamed to it": async ({ collection, db }) => {
      await db.collection("other").insertMany([window("OTHER", 8), window("OTHER", 9)]);
      await db.renameCollection("other", collection.collectionName, { dropTarget: true });
      return { OTHER: [8, 9] };
    },
    "when it is restored": async ({ collection }) => {
      await collection.drop();
      await collection.createIndex({ company: 1, _id: -1 });
      await collection.insertMany([document(5), document(6)], { writeConcern: { w: "majority" } });
      return { MSFT: [5, 6] };
    },
  };
  for (const [what, happen] of Object.entries(events)) {
    it(what, async (test) => {
      const { database, followed } = await openFollowed(test);
      await database.store(document(1), document(2));
      await eventually(() => followed.prices("MSFT").length === 2, "both are shown");
      const expected = await happen(database);
      await eventually(() => followed.reloads.length > 1, "it is read again");
      // In this time, a feed that meets the same event again reads everything several times.
      await sleep(1500);
      assert.equal(followed.reloads.length, 2);
      assert.equal(followed.feed.counts.reloaded, 2);
      assert.deepEqual(
        Object.fromEntries(followed.market.companies().map((company) => [company, followed.prices(company)])),
        expected,
      );
      await database.store(document(7));
      await eventually(() => followed.newest().MSFT === 7, "changes flow");
      assert.deepEqual(followed.prices("MSFT"), [...(expected.MSFT ?? []), 7]);
      assert.equal(followed.reloads.length, 2);
      assert.ok(followed.feed.isCurrent);
    });
  }

  it("with no lost and no double windows when some are stored meanwhile", async (test) => {
    const { database, followed } = await openFollowed(test);
    const stop = new AbortController();
    /** @type {number[]} */
    let stored = [];
    const storing = (async () => {
      for (let price = 1; !stop.signal.aborted; price += 1) {
        await database.store({ _id: price, company: "MSFT", avgPrice: price });
        stored.push(price);
      }
    })();
    for (let round = 1; round <= 5; round += 1) {
      await eventually(() => stored.length > 20, "some are stored");
      await database.collection.drop();
      await eventually(() => followed.reloads.length === round + 1, `reload ${round}`);
      stored = [];
    }
    await eventually(() => stored.length > 20, "some are stored");
    stop.abort();
    await storing;
    await eventually(() => followed.prices("MSFT").at(-1) === stored.at(-1), "the last one is shown");
    const inDatabase = await database.collection.find({}, { sort: { _id: 1 } }).toArray();
    assert.deepEqual(
      followed.prices("MSFT"),
      inDatabase.map(({ avgPrice }) => avgPrice),
    );
    assert.equal(followed.reloads.length, 6);
    const told = pricesOf(followed.averages);
    assert.equal(new Set(told).size, told.length, "none is told twice");
  });

  it("when its place in the oplog is lost", async (test) => {
    const closing = closeAfter(test);
    const { url } = await startReplicaSet(closing);
    const admin = new MongoClient(url);
    closing(() => admin.close());
    const database = await openDatabase({ url });
    closing(() => database.close());
    await database.store(document(1));
    const { feed, prices, reloads, lines } = await follow(closing, database);
    await admin.db("admin").command({
      configureFailPoint: "failCommand",
      mode: { times: 1 },
      data: { errorCode: 286, errorLabels: ["NonResumableChangeStreamError"], failCommands: ["getMore"] },
    });
    await eventually(() => reloads.length > 1, "it is read again");
    await database.store(document(2));
    await eventually(() => prices("MSFT").at(-1) === 2, "changes flow");
    assert.deepEqual(prices("MSFT"), [1, 2]);
    assert.equal(reloads.length, 2);
    assert.equal(lines.filter((line) => line.includes("place is lost")).length, 1);
    await eventually(() => feed.isCurrent, "it is current");
  });

  it("when the collection was restored while the database could not be reached", async (test) => {
    const closing = closeAfter(test);
    const { url, port } = await startReplicaSet(closing);
    const database = await openDatabase({ url });
    closing(() => database.close());
    const relay = await startRelay(closing, port);
    await database.store(document(1), document(2));
    const { feed, prices, reloads } = await follow(closing, {
      name: database.name,
      url: url.replace(String(port), String(relay.port)),
    });
    await database.store(document(3));
    await eventually(() => prices("MSFT").length === 3, "changes flow");
    relay.cut();
    await eventually(() => feed.state === "unreachable", "it is cut off");
    assert.equal(feed.isCurrent, false);
    await database.store(document(4));
    await database.collection.drop();
    await database.collection.createIndex({ company: 1, _id: -1 });
    await database.store(document(5), document(6));
    relay.mend();
    await eventually(() => reloads.length > 1 && feed.isCurrent, "it is read again");
    await database.store(document(7));
    await eventually(() => prices("MSFT").at(-1) === 7, "changes flow");
    assert.deepEqual(prices("MSFT"), [5, 6, 7]);
    assert.equal(reloads.length, 2);
    assert.equal(feed.counts.resumed >= 1, true);
  });

  it("and shows no half of a picture meanwhile", async (test) => {
    const closing = closeAfter(test);
    const database = await openDatabase();
    closing(() => database.close());
    const names = numbers(200).map((number) => `C${number}`);
    await database.store(...names.flatMap((company) => [1, 2, 3].map((price) => window(company, price))));
    const other = names.slice(0, 100).flatMap((company) => [4, 5].map((price) => window(company, price)));
    await database.db.collection("other").insertMany(other);
    const { market, reloads } = await follow(closing, database);
    /** @type {Set<string>} */
    const seen = new Set();
    const look = setInterval(() =>
      seen.add(`${market.newest().length} of ${[...new Set(Object.values(newestOf(market)))]}`),
    );
    closing(() => clearInterval(look));
    await eventually(() => seen.size === 1, "the first picture");
    await database.db.renameCollection("other", "stocks", { dropTarget: true });
    await eventually(() => reloads.length === 2 && seen.size > 1, "the second picture");
    assert.deepEqual([...seen], ["200 of 3", "100 of 5"]);
  });
});
