/**
 * What the tests of the feed share: a feed that follows a database, and ways to disturb both.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { promisify } from "node:util";
import { MongoClient } from "mongodb";
import { Feed } from "../src/feed.js";
import { createLog } from "../src/log.js";
import { Market } from "../src/market.js";
import { closeAfter, eventually, openDatabase, startMongod } from "./support.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("../src/average.js").Average} Average */

/** Controls the servers of tests/with-servers. @param {...string} command @returns {Promise<string>} */
export async function servers(...command) {
  const control = process.env.TEST_SERVERS;
  assert.ok(control, "TEST_SERVERS is missing: run `make test`, or `tests/with-servers npm test`");
  return (await promisify(execFile)(control, command)).stdout.trim();
}

/** A database with a feed that follows it. @param {TestContext} test @param {Parameters<typeof openDatabase>[0]} [options] */
export async function openFollowed(test, options) {
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
export async function follow(closing, { url, name }, { limits } = {}) {
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
export function newestOf(market) {
  return Object.fromEntries(market.newest().map(({ company, avgPrice }) => [company, avgPrice]));
}

/** @param {Average[]} averages */
export const pricesOf = (averages) => averages.map(({ avgPrice }) => avgPrice);

/** @param {number} length @param {number} [from] */
export const numbers = (length, from = 0) => Array.from({ length }, (_, index) => from + index);

/** A replica set of one member, which takes failpoints. @param {ReturnType<typeof closeAfter>} closing */
export async function startReplicaSet(closing) {
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
export async function startRelay(closing, target) {
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
