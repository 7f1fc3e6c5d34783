/** What browsers are told, over real WebSockets, about a market that the test makes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";
import { SUBPROTOCOL } from "../page/contract.js";
import { Audience } from "../src/audience.js";
import { parseAverage } from "../src/average.js";
import { Market } from "../src/market.js";
import { closeAfter, eventually, measureSlowness, Viewer } from "./support.js";

/**
 * An audience whose condition the test sets.
 * @param {import("node:test").TestContext} test
 * @param {object} [options]
 * @param {number} [options.companies]  in the market already, each with an average
 */
async function openAudience(test, { companies = 0 } = {}) {
  const closing = closeAfter(test);
  const market = new Market();
  const documents = Array.from({ length: companies }, (_, index) => document(index, name(index)));
  load(market, documents);
  const condition = { server: "one", version: "v", isCurrent: true, lagMs: 0, hiddenCompanies: 0 };
  const audience = new Audience(market, () => condition);
  const server = createServer();
  const sockets = new WebSocketServer({ server, handleProtocols: ([first]) => first });
  sockets.on("connection", (socket, { url }) => audience.welcome(socket, { isStale: url === "/?stale" }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing(() => {
    audience.dismiss();
    audience.cutOff();
    server.close();
    server.closeAllConnections();
  });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    market,
    condition,
    audience,
    /** @param {string} [protocol] @param {string} [path] */
    async visit(protocol = SUBPROTOCOL, path = "/") {
      const viewer = await Viewer.open(`ws://127.0.0.1:${port}${path}`, protocol);
      closing(() => viewer.close());
      return viewer;
    },
  };
}

/** Makes these the whole market. @param {Market} market @param {any[]} documents */
function load(market, documents) {
  const picture = market.draft(new Set(documents.map(({ company }) => company)));
  for (const name of picture.companies) {
    const own = documents.filter(({ company }) => company === name);
    picture.add(
      name,
      own.flatMap((document) => parseAverage(document, Date.now()) ?? []),
      true,
    );
  }
  market.load(picture);
}

/** @param {number} index */
const name = (index) => `C${String(index).padStart(4, "0")}`;

/** @param {number} id @param {string} company @param {object} [others] */
const document = (id, company, others = {}) => ({ _id: id, company, avgPrice: id, closedAt: new Date(), ...others });

describe("the audience", () => {
  it("gets the whole market in parts of at most 256 KiB, sorted, and complete", async (test) => {
    const long = {
      buy: { count: 123_456_789, avgPrice: Math.PI },
      sell: { count: 1, avgPrice: Math.E },
      minPrice: 1 / 3,
    };
    const { market, visit } = await openAudience(test);
    load(
      market,
      Array.from({ length: 600 }, (_, index) => ({
        ...document(index, `${name(index)} ${"€".repeat(58)}`, long),
        _id: `${index} ${"x".repeat(200)}`,
      })),
    );
    const viewer = await visit();
    await eventually(() => viewer.all("market").length === 6, "six parts");
    const parts = viewer.all("market");
    assert.deepEqual(
      parts.map(({ part, parts }) => [part, parts]),
      [0, 1, 2, 3, 4, 5].map((part) => [part, 6]),
    );
    assert.ok(parts[0].companies.length < 50, "the first screen comes first");
    for (const part of parts) assert.ok(Buffer.byteLength(JSON.stringify(part)) <= 256 * 1024);
    const names = parts.flatMap(({ companies }) => companies.map((/** @type {any} */ { company }) => company));
    assert.equal(new Set(names).size, 600);
    assert.deepEqual(names, names.toSorted());
  });

  it("gets one empty part of an empty market, and nothing before it was read", async (test) => {
    const { visit } = await openAudience(test);
    const viewer = await visit();
    await eventually(() => viewer.all("market").length === 1, "the market");
    assert.deepEqual(viewer.all("market")[0], { type: "market", part: 0, parts: 1, companies: [] });

    const unread = new Market();
    assert.equal(unread.isLoaded, false);
  });

  it("loses no company that appears or goes while the parts are sent", async (test) => {
    const { market, visit } = await openAudience(test, { companies: 400 });
    const viewers = await Promise.all(Array.from({ length: 20 }, () => visit()));
    for (let id = 1000; id < 1040; id += 1) {
      market.add(document(id, `A${id}`));
      market.remove(id - 1000);
      await sleep(1);
    }
    const expected = market.companies().length;
    const known = (/** @type {Viewer} */ viewer) =>
      market.companies().filter((one) => viewer.told(one).length > 0).length;
    await eventually(() => viewers.every((viewer) => known(viewer) === expected), "everyone knows all companies");
  });

  it("hears twice a second how current the prices are, also when there is other news all the time", async (test) => {
    const { market, condition, visit } = await openAudience(test, { companies: 1 });
    condition.lagMs = 7;
    const viewer = await visit();
    const [began, slowness] = [performance.now(), measureSlowness()];
    let id = 100;
    const news = setInterval(() => market.add(document((id += 1), "BUSY")), 20);
    test.after(() => clearInterval(news));
    await eventually(() => viewer.all("alive").length >= 6, "five more signs of life");
    assert.ok(performance.now() - began < 5000 * slowness(), `${performance.now() - began} ms`);
    assert.deepEqual({ ...viewer.all("alive")[0], now: 0 }, { type: "alive", now: 0, ...condition });
    assert.ok(viewer.all("averages").length > 5, "beside the news");
  });

  it("hears at once when the prices are no longer current, and when they are again", async (test) => {
    const { condition, visit } = await openAudience(test);
    const viewer = await visit();
    for (const isCurrent of [false, true]) {
      const slowness = measureSlowness();
      const began = performance.now();
      condition.isCurrent = isCurrent;
      await eventually(() => viewer.all("alive").at(-1)?.isCurrent === isCurrent, "it is told");
      assert.ok(performance.now() - began < 400 * slowness(), `after ${performance.now() - began} ms`);
    }
  });

  it("is told the newest of a company whose past changed, and that a company has gone", async (test) => {
    const { market, visit } = await openAudience(test);
    load(market, [document(1, "A"), document(2, "A"), document(3, "A"), document(4, "B")]);
    const viewer = await visit();
    await eventually(() => viewer.all("market").length === 1, "the market");
    market.remove(3);
    market.remove(4);
    await eventually(() => viewer.all("changed").length > 0, "the change");
    const changes = viewer.all("changed").flatMap(({ companies }) => companies);
    assert.equal(changes.find(({ company }) => company === "A").newest.avgPrice, 2);
    assert.equal(changes.find(({ company }) => company === "B").newest, null);
    assert.equal(viewer.all("market").length, 1, "nothing else is told again");
  });

  it("is sent elsewhere after some seconds without the database, but not those whom nobody else takes", async (test) => {
    const { condition, visit, audience } = await openAudience(test);
    const viewers = [await visit(), await visit("")];
    condition.isCurrent = false;
    const stale = await visit(SUBPROTOCOL, "/?stale");
    const slowness = measureSlowness();
    const began = performance.now();
    await eventually(() => viewers.every(({ closeCode }) => closeCode === 1013), "close code 1013", 15_000);
    assert.ok(performance.now() - began > 4000, "not at once");
    assert.ok(performance.now() - began < 8000 * slowness());
    assert.equal(audience.counts.sentElsewhere, 2);
    assert.equal(stale.closeCode, undefined);
    condition.isCurrent = true;
    await sleep(500);
    assert.equal(stale.closeCode, undefined);
  });

  it("of another version of the page hears only of its live view's version", async (test) => {
    const { market, visit } = await openAudience(test, { companies: 3 });
    const viewer = await visit("stockmarket.live.1");
    market.add(document(9, "NEW"));
    await eventually(() => viewer.all("alive").length >= 3, "signs of life");
    assert.deepEqual([...new Set(viewer.messages.map(({ type }) => type))], ["alive"]);
    assert.equal(viewer.all("alive")[0].version, "v");
  });

  it("that reads slowly stays, skips what it cannot take, and knows the newest in the end", async (test) => {
    const { market, audience, visit } = await openAudience(test, { companies: 300 });
    const slow = await visit();
    const quick = await visit();
    slow.socket.pause();
    const padding = {
      minPrice: 1 / 3,
      maxPrice: Math.PI,
      buy: { count: 1, avgPrice: Math.E },
      sell: { count: 1, avgPrice: 1 / 7 },
    };
    let id = 1000;
    while (audience.counts.leftOut < 5) {
      for (let index = 0; index < 300; index += 1) market.add(document((id += 1), name(index), padding));
      await sleep(5);
      assert.ok(id < 3_000_000, "it is left out at some time");
    }
    assert.ok(audience.unreadBytes < 1_000_000, "what waits for it is bounded");
    await eventually(() => quick.told(name(299)).at(-1) === id, "the quick one is up to date");
    slow.socket.resume();
    const isUpToDate = () => market.newest().every(({ company, avgPrice }) => slow.told(company).at(-1) === avgPrice);
    await eventually(isUpToDate, "the slow one knows the newest of all");
    assert.equal(slow.closeCode, undefined);
    assert.equal(slow.all("market").filter(({ part }) => part === 0).length, 1, "without the whole market again");
  });
});
