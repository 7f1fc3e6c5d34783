/**
 * What the tests share: a database of their own, live views, browsers without a page.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MongoClient } from "mongodb";
import { WebSocket } from "ws";
import { readConfig } from "../src/config.js";
import { createLog } from "../src/log.js";
import { start } from "../src/server.js";

/** @typedef {import("mongodb").Collection<any>} Collection */

/** The replica set of tests/with-servers, as its administrator. */
export function databaseUrl() {
  const url = process.env.TEST_MONGODB_URL;
  assert.ok(url, "TEST_MONGODB_URL is missing: run `make test`, or `tests/with-servers npm test`");
  return url;
}

/**
 * A collection of a database of its own, as the consumer would make it.
 * @param {object} [options]
 * @param {string} [options.url]
 * @param {boolean} [options.isIndexed]
 */
export async function openDatabase({ url = databaseUrl(), isIndexed = true } = {}) {
  const client = new MongoClient(url);
  const db = client.db(`liveview-${randomUUID()}`);
  /** @type {Collection} */
  const collection = db.collection("stocks");
  if (isIndexed) await collection.createIndex({ company: 1, _id: -1 });
  return {
    url,
    db,
    collection,
    name: db.databaseName,
    /** Stores averages as durably as the consumer does. @param {any[]} documents */
    store: (...documents) => collection.insertMany(documents, { writeConcern: { w: "majority", journal: true } }),
    async close() {
      await db.dropDatabase().catch(() => {});
      await client.close();
    },
  };
}

/** A MongoDB of its own, without a replica set unless the options say so. @param {...string} options */
export async function startMongod(...options) {
  const folder = await mkdtemp(path.join(tmpdir(), "liveview-mongod-"));
  const [port] = await freePorts(1);
  const tools = path.join(import.meta.dirname, "..", "..", "..", ".local", "tools", "bin");
  // It ends with this process, also when that is killed.
  const command = ["--pdeathsig", "KILL", "mongod", "--dbpath", folder, "--port", String(port)];
  const launch = () =>
    spawn("setpriv", [...command, "--bind_ip", "127.0.0.1", ...options], {
      env: { ...process.env, PATH: `${tools}:${process.env.PATH}` },
      stdio: "ignore",
    });
  const kill = async () => {
    if (mongod.exitCode !== null || mongod.signalCode !== null) return;
    mongod.kill("SIGKILL");
    await once(mongod, "exit");
  };
  let mongod = launch();
  await once(mongod, "spawn");
  return {
    port,
    url: `mongodb://127.0.0.1:${port}/`,
    kill,
    start() {
      mongod = launch();
    },
    async stop() {
      await kill();
      await rm(folder, { recursive: true });
    },
  };
}

/** The program. @param {string[]} args @param {Record<string, string>} environment */
export function run(args, environment) {
  const app = path.join(import.meta.dirname, "..", "app.js");
  const child = spawn(process.execPath, [app, ...args], { env: { PATH: process.env.PATH, ...environment } });
  const output = { out: "", err: "" };
  child.stdout.on("data", (data) => (output.out += data));
  child.stderr.on("data", (data) => (output.err += data));
  const exited = once(child, "exit").then(([code, signal]) => code ?? signal);
  return { child, output, exited };
}

/** Companies' symbols as exchanges use them, and the oddest that are valid, in the page's order. */
export const SYMBOLS = [
  "__proto__",
  "..",
  "/",
  "^GSPC",
  "=",
  "0700.HK",
  "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234-",
  "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234.",
  "BRK_B",
  "BRK-B",
  "brk.b",
  "BRK.B",
  "BTC-USD",
  "constructor",
  "detail",
  "ES=F",
  "EUR/USD:FX",
  "main",
  "RDS/A",
];

/** A document as our consumer stores it. @param {string} company @param {number} avgPrice @param {object} [others] */
export function window(company, avgPrice, others = {}) {
  return {
    company,
    avgPrice,
    count: 1000,
    buy: { count: 510, avgPrice: avgPrice + 0.5 },
    sell: { count: 490, avgPrice: avgPrice - 0.5 },
    minPrice: avgPrice - 20,
    maxPrice: avgPrice + 20,
    firstTradeAt: new Date(Date.now() - 1000),
    lastTradeAt: new Date(),
    closedAt: new Date(),
    trades: [{ epoch: "e", ranges: [[0, 999]] }],
    ledger: [{ epoch: "e", ranges: [[0, 999]] }],
    ...others,
  };
}

/**
 * A live view in this process, ready unless the options say otherwise.
 * @param {{url: string, name: string}} database
 * @param {Record<string, string>} [environment]
 * @param {{isReady?: boolean}} [options]
 */
export async function startLiveview({ url, name }, environment = {}, { isReady = true } = {}) {
  /** @type {string[]} */
  const lines = [];
  const config = readConfig({ MONGODB_URL: url, MONGODB_DB: name, PORT: "0", LIVEVIEW_NAME: "one", ...environment });
  const log = createLog({ format: "json", level: "debug", write: (line) => lines.push(line) });
  const liveview = await start(config, log);
  if (isReady) await eventually(() => liveview.isReady(), "the live view is ready");
  return {
    ...liveview,
    lines,
    url: `http://127.0.0.1:${liveview.port}`,
    socketUrl: `ws://127.0.0.1:${liveview.port}/`,
  };
}

/** All bytes that the server answers to these until it closes. @param {number} port @param {string} text @returns {Promise<string>} */
export function exchange(port, text) {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.setEncoding("utf8");
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no end of the answer: ${answer.slice(0, 200)}`)));
    socket.on("data", (data) => (answer += data));
    socket.on("error", reject);
    socket.on("end", () => resolve(answer));
  });
}

/**
 * The texts of a page and of all files that it leads to, each under the address that a browser would ask for. Fails if
 * one is not there.
 * @param {string} page
 */
export async function crawl(page) {
  const addresses = [page];
  const texts = [];
  for (const address of addresses) {
    const response = await fetch(address);
    assert.equal(response.status, 200, address);
    const text = await response.text();
    texts.push(text);
    const type = response.headers.get("content-type") ?? "";
    const pattern = type.startsWith("text/html")
      ? /(?:href|src)="([^"#]+)"/g
      : type.startsWith("text/css")
        ? /url\("([^"]+)"\)/g
        : /(?:^|\n)(?:import|export)[^"();]*"(\.[^"]+)"/g;
    for (const [, reference] of text.matchAll(pattern)) {
      const found = new URL(reference, address).href;
      if (!addresses.includes(found)) addresses.push(found);
    }
  }
  return texts;
}

/** The processors' time since the machine's start: used, and wanted but given to another machine on the same hardware. */
function processorTime() {
  let [user, nice, system, irq, softirq, stolen] = [0, 0, 0, 0, 0, 0];
  try {
    const [line] = readFileSync("/proc/stat", "utf8").split("\n");
    [user, nice, system, , , irq, softirq, stolen] = line.split(/ +/).slice(1).map(Number);
  } catch {
    // Another system, which does not tell.
  }
  return { used: user + nice + system + irq + softirq, stolen };
}

/**
 * How many times as long as by itself this machine takes to compute something, from now until the returned function
 * is called. Limits are for a machine whose processors are its own.
 */
export function measureSlowness() {
  const begin = processorTime();
  return () => {
    const end = processorTime();
    const used = end.used - begin.used;
    return used > 0 ? 1 + (end.stolen - begin.stolen) / used : 1;
  };
}

/** Waits until `condition` holds. @template T @param {() => T | Promise<T>} condition @param {string} what @param {number} [limitMs] */
export async function eventually(condition, what, limitMs = 30_000) {
  const began = performance.now();
  const slowness = measureSlowness();
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (performance.now() - began > limitMs * slowness()) assert.fail(`not within ${limitMs} ms: ${what}`);
    await sleep(20);
  }
}

/**
 * Free ports for servers that start later, or again. They are below those of outgoing connections and apart from those
 * of the other suites, so that no other program takes one meanwhile.
 * @param {number} count
 */
export async function freePorts(count) {
  /** @type {Set<number>} */
  const ports = new Set();
  while (ports.size < count) {
    const port = 28_000 + Math.floor(Math.random() * 4000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    await once(server.close(), "close");
    ports.add(port);
  }
  return [...ports];
}

/**
 * For a test that opens several things: closes them in reverse order when the test ends, passed or failed. What stays
 * open keeps the test file's process alive.
 * @param {import("node:test").TestContext} test
 * @returns {(close: () => unknown) => void} registers what closes one of them
 */
export function closeAfter(test) {
  /** @type {Array<() => unknown>} */
  const closers = [];
  test.after(async () => {
    for (const close of closers.reverse()) await close();
  });
  return (close) => closers.push(close);
}

/** A browser without a page: keeps what it is told. */
export class Viewer {
  /** @type {any[]} */
  messages = [];
  /** When each message came. @type {number[]} */
  times = [];
  pings = 0;
  /** @type {number | undefined} */
  closeCode;

  /** @param {string} url @param {object} [options] @param {string} [options.protocol] @param {import("ws").ClientOptions} [options.socket] */
  constructor(url, { protocol, socket } = {}) {
    this.socket = new WebSocket(url, protocol ? [protocol] : [], { perMessageDeflate: false, ...socket });
    this.socket.on("message", (data) => {
      this.messages.push(JSON.parse(String(data)));
      this.times.push(performance.now());
    });
    this.socket.on("ping", () => {
      this.pings += 1;
    });
    this.socket.on("close", (code) => {
      this.closeCode = code;
    });
    this.socket.on("error", () => {});
  }

  /** @param {string} url @param {string} [protocol] */
  static async open(url, protocol) {
    const viewer = new Viewer(url, { protocol });
    await once(viewer.socket, "open");
    return viewer;
  }

  /** @param {string} type */
  all(type) {
    return this.messages.filter((message) => message.type === type);
  }

  /** Prices of a company's newest averages, in the order told; a document updated in place counts once. @param {string} company */
  told(company) {
    /** @type {Map<string, number>} */
    let prices = new Map();
    for (const { type, companies = [], averages = [] } of this.messages) {
      const told = type === "changed" ? companies.map((/** @type {any} */ { newest }) => newest) : companies;
      for (const average of [...told, ...averages]) {
        if (average?.company === company) prices.set(average._id, average.avgPrice);
      }
      if (companies.some((/** @type {any} */ one) => one.company === company && one.newest === null))
        prices = new Map();
    }
    return [...prices.values()];
  }

  /** The newest price of each company, as the original page shows it. */
  prices() {
    const newest = this.all("prices").at(-1)?.prices ?? [];
    return Object.fromEntries(newest.map((/** @type {any} */ { company, avgPrice }) => [company, avgPrice]));
  }

  close() {
    this.socket.terminate();
  }
}
