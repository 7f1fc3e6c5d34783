/** The feed, through what happens to a database. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Long, MongoClient } from "mongodb";
import { Feed } from "../src/feed.js";
import { createLog } from "../src/log.js";
import { Market } from "../src/market.js";
import { closeAfter, eventually, openDatabase, startMongod, window } from "./support.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("../src/average.js").Average} Average */

/** Controls the servers of tests/with-servers. @param {...string} command @returns {Promise<string>} */
async function servers(...command) {
  const control = process.env.TEST_SERVERS;
  assert.ok(control, "TEST_SERVERS is missing: run `make test`, or `tests/with-servers npm test`");
  return (await promisify(execFile)(control, command)).stdout.trim();
}

/** A database with a feed that follows it. @param {TestContext} test @param {Parameters<typeof openDatabase>[0]} [options] */
async function openFollowed(test, options) {
  const closing = closeAfter(test);
  const database = await openDatabase(options);
  closing(() => database.close());
  return { database, closing, followed: await follow(closing, database) };
}

/**
 * A feed that is current, its market, and what that told.
 * @param {ReturnType<typeof closeAfter>} closing
 * @param {{url: string, name: string}} database
 * @param {object} [options]
 * @param {ConstructorParameters<typeof Market>[0]} [options.limits]
 */
async function follow(closing, { url, name }, { limits } = {}) {
  const client = new MongoClient(url, {
    serverSelectionTimeoutMS: 3000,
    connectTimeoutMS: 3000,
    socketTimeoutMS: 5000,
    heartbeatFrequencyMS: 2000,
    minHeartbeatFrequencyMS: 250,
  });
  closing(() => client.close(true));
  const market = new Market(limits);
  /** @type {Average[]} */
  const averages = [];
  /** @type {string[]} */
  const changed = [];
  /** What was shown after each reload, by company. @type {Array<Record<string, number[]>>} */
  const reloads = [];
  /** @param {string} company */
  const prices = (company) => market.recent(company).map(({ avgPrice }) => avgPrice);
  market.on("average", (average) => averages.push(average));
  market.on("changed", (company) => changed.push(company));
  market.on("reloaded", () =>
    reloads.push(Object.fromEntries(market.companies().map((company) => [company, prices(company)]))),
  );
  /** @type {string[]} */
  const lines = [];
  const log = createLog({ format: "json", level: "debug", write: (line) => lines.push(line) });
  const feed = new Feed(client.db(name).collection("stocks"), market, log);
  const following = new AbortController();
  const run = feed.run(following.signal);
  closing(async () => {
    following.abort();
    await run;
  });
  await eventually(() => feed.isCurrent, "the feed is current");
  return { feed, market, averages, changed, reloads, prices, lines, newest: () => newestOf(market) };
}

/** @param {Market} market */
function newestOf(market) {
  return Object.fromEntries(market.newest().map(({ company, avgPrice }) => [company, avgPrice]));
}

/** @param {Average[]} averages */
const pricesOf = (averages) => averages.map(({ avgPrice }) => avgPrice);

/** @param {number} length @param {number} [from] */
const numbers = (length, from = 0) => Array.from({ length }, (_, index) => from + index);

/** A replica set of one member, which takes failpoints. @param {ReturnType<typeof closeAfter>} closing */
async function startReplicaSet(closing) {
  const { port, url, stop } = await startMongod("--replSet", "one", "--setParameter", "enableTestCommands=1");
  closing(stop);
  const client = new MongoClient(`${url}?directConnection=true`);
  closing(() => client.close());
  const admin = client.db("admin");
  await admin.command({ replSetInitiate: { _id: "one", members: [{ _id: 0, host: `127.0.0.1:${port}` }] } });
  await eventually(async () => (await admin.command({ hello: 1 })).isWritablePrimary === true, "it is primary");
  return { port, url: `${url}?directConnection=true` };
}

/** Passes connections on to a port, until it is cut. @param {ReturnType<typeof closeAfter>} closing @param {number} target */
async function startRelay(closing, target) {
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  let isCut = false;
  const server = createServer((socket) => {
    if (isCut) {
      socket.destroy();
      return;
    }
    const onward = connect(target, "127.0.0.1");
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ]) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  closing(() => {
    cut();
    server.close();
  });
  return {
    port: /** @type {import("node:net").AddressInfo} */ (server.address()).port,
    cut,
    mend() {
      isCut = false;
    },
  };
}

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
    for (const avgPrice of [1, 2, 2]) {
      await sleep(5);
      await database.collection.updateOne(
        { _id: "MSFT" },
        { $set: { company: "MSFT", avgPrice, n: Math.random() } },
        {
          upsert: true,
          writeConcern: { w: "majority" },
        },
      );
    }
    await eventually(() => followed.averages.length === 3, "each counts");
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
    let isDropping = false;
    const storing = (async () => {
      for (let price = 1; !stop.signal.aborted; price += 1) {
        if (isDropping) await sleep(1);
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
    isDropping = true;
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

describe("the feed's lag", () => {
  /** Locks both secondaries, so that they write nothing. @param {ReturnType<typeof closeAfter>} closing @param {string} url */
  async function lockSecondaries(closing, url) {
    const primary = await servers("primary");
    const { username, password } = new URL(url.replace(/(@[^,/]+),[^/]*/, "$1"));
    const secondaries = ["mongo1", "mongo2", "mongo3"].filter((name) => name !== primary);
    const clients = await Promise.all(
      secondaries.map(async (name) => {
        const host = `127.0.0.1:${process.env[`${name.toUpperCase()}_PORT`]}`;
        const client = new MongoClient(
          `mongodb://${username}:${password}@${host}/?directConnection=true&authSource=admin`,
        );
        closing(() => client.close());
        await client.db("admin").command({ fsync: 1, lock: true });
        return client;
      }),
    );
    let isLocked = true;
    const unlock = async () => {
      if (isLocked) await Promise.all(clients.map((client) => client.db("admin").command({ fsyncUnlock: 1 })));
      isLocked = false;
    };
    closing(unlock);
    return unlock;
  }

  for (const readPreference of ["primary", "secondary"]) {
    it(`shows when the cluster moves on without the feed, which reads from a ${readPreference}`, async (test) => {
      const closing = closeAfter(test);
      const database = await openDatabase();
      closing(() => database.close());
      await database.store(window("MSFT", 1));
      const url = `${database.url}${database.url.includes("?") ? "&" : "?"}readPreference=${readPreference}`;
      const { feed, newest } = await follow(closing, { ...database, url });
      await eventually(() => feed.lagMs === 0, "no lag");
      const unlock = await lockSecondaries(closing, database.url);
      await database.collection.insertOne(window("MSFT", 2), { writeConcern: { w: 1 } });
      await eventually(() => feed.lagMs > 2000, "the lag grows");
      assert.equal(feed.state, "change stream");
      await eventually(() => !feed.isCurrent, "the data is not current");
      assert.equal(newest().MSFT, 1);
      await unlock();
      await eventually(() => newest().MSFT === 2 && feed.lagMs === 0 && feed.isCurrent, "it catches up");
    });
  }

  it("needs no primary to follow a secondary, nor to start there", async (test) => {
    const closing = closeAfter(test);
    const database = await openDatabase();
    closing(() => database.close());
    await database.store(window("MSFT", 1));
    const primary = await servers("primary");
    const lost = [primary, ["mongo1", "mongo2", "mongo3"].find((name) => name !== primary) ?? ""];
    const url = `${database.url}${database.url.includes("?") ? "&" : "?"}readPreference=secondaryPreferred`;
    const first = await follow(closing, { ...database, url });
    for (const name of lost) await servers("kill", name);
    try {
      const second = await follow(closing, { ...database, url });
      await eventually(() => first.feed.isCurrent, "it is current");
      for (const { feed, newest } of [first, second]) {
        assert.deepEqual(newest(), { MSFT: 1 });
        assert.equal(feed.lagMs, 0);
      }
      assert.equal(first.reloads.length, 1);
    } finally {
      for (const name of lost) await servers("start", name);
    }
    await database.store(window("MSFT", 2));
    await eventually(() => first.newest().MSFT === 2 && first.feed.isCurrent, "changes flow again");
    assert.deepEqual([pricesOf(first.averages), first.reloads.length], [[2], 1]);
  });

  it("stays 0 while windows flow, and while nothing happens", async (test) => {
    const { database, followed } = await openFollowed(test);
    const lags = [];
    for (let round = 0; round < 60; round += 1) {
      if (round < 30) await database.store(window("MSFT", round));
      await sleep(50);
      lags.push(followed.feed.lagMs);
      assert.ok(followed.feed.isCurrent);
    }
    assert.ok(Math.max(...lags) < 2500, lags.join());
    await eventually(() => followed.feed.lagMs === 0, "no lag");
  });
});
