/** How far a feed is behind, by numbers and with a real cluster. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { MongoClient } from "mongodb";
import { Lag } from "../src/lag.js";
import { follow, openFollowed, pricesOf, servers } from "./follow.js";
import { closeAfter, eventually, openDatabase, window } from "./support.js";

/** A cluster time. @param {number} seconds @param {number} [count] */
const at = (seconds, count = 1) => (BigInt(seconds) << 32n) + BigInt(count);

describe("the lag", () => {
  it("is none while the cluster is idle, and when its rare entries are read a little later", () => {
    const lag = new Lag();
    lag.start(at(100), at(100), 0);
    for (let now = 1000; now < 60_000; now += 1000) {
      const time = at(100 + 10 * Math.floor(now / 10_000));
      lag.sample(time, now);
      assert.equal(lag.ms(now + 600), 0, `after ${now} ms`);
      lag.reach(time);
    }
  });

  it("is the age of the oldest sample that was not reached", () => {
    const lag = new Lag();
    lag.start(at(100), at(100), 0);
    for (const second of [1, 2, 3, 4, 5, 6]) lag.sample(at(100 + second), second * 1000);
    assert.equal(lag.ms(7000), 6000);
    lag.reach(at(103));
    assert.equal(lag.ms(7000), 3000);
    lag.reach(at(106));
    assert.equal(lag.ms(7000), 0);
  });

  it("is the cluster's own time after a start from far behind, until that is caught up", () => {
    const lag = new Lag();
    lag.start(at(100), at(160), 0);
    assert.equal(lag.ms(0), 60_000);
    lag.sample(at(161), 1000);
    lag.reach(at(150));
    assert.equal(lag.ms(1100), 11_000);
    lag.reach(at(161));
    assert.equal(lag.ms(1200), 0);
    lag.sample(at(170), 2000);
    assert.equal(lag.ms(3000), 0, "a gap in the cluster's time is no lag");
  });

  it("remembers a bounded number of samples, the oldest among them", () => {
    const lag = new Lag();
    lag.start(at(1), at(1), 0);
    for (let second = 2; second < 20_000; second += 1) lag.sample(at(second), second * 1000);
    assert.equal(lag.ms(20_000_000), 20_000_000 - 2000);
    lag.reach(at(19_999));
    assert.equal(lag.ms(20_000_000), 0);
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
