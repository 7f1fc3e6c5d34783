// The whole system: started, used, damaged and stopped as a user does it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";
import { companies, root, run, Stockmarket } from "../lib/stockmarket.mjs";
import { eventually, overload } from "../lib/waiting.mjs";

const consumerProgram = join(root, "target/debug/stock-consumer");
const windowSize = 1000;

/** What each company's prices move around, as the publisher is told. */
const startPrices = new Map(
  (await readFile(join(root, "process-compose.yaml"), "utf8"))
    .match(/ START_PRICES=(.*)/)[1]
    .split(",")
    .map((price, index) => [companies[index], Number(price)]),
);

// --- known input ------------------------------------------------------------------

/** Prices are whole numbers of 1/10000, so that their mean can be computed exactly. */
const unit = 10_000n;

/** A price for a place in a window: all of them differ, by up to eight orders of magnitude, and repeat in every run. */
function knownPrice(window, index) {
  const size = 10n ** BigInt(index % 8);
  return size * BigInt(1 + ((index * 7919 + window * 104_729) % 9973)) + BigInt(index);
}

const toNumber = (units) => Number(units) / Number(unit);

/** The exact mean, rounded once. */
function exactMean(prices) {
  const sum = prices.reduce((total, price) => total + price, 0n);
  const scale = 10n ** 12n;
  return Number((sum * scale) / (BigInt(prices.length) * unit)) / Number(scale);
}

function assertClose(actual, expected, what) {
  assert.ok(Math.abs(actual - expected) <= 1e-9 * Math.abs(expected), `${what}: ${actual} is not ${expected}`);
}

const knownWindow = (window) => Array.from({ length: windowSize }, (_, index) => knownPrice(window, index));

/** @param {amqp.ConfirmChannel} channel */
async function publish(channel, queue, prices, propertiesOf = () => ({})) {
  prices.forEach((price, index) => {
    const trade = { company: queue, eventType: index % 3 ? "buy" : "sell", price: toNumber(price) };
    channel.sendToQueue(queue, Buffer.from(JSON.stringify(trade)), propertiesOf(index));
  });
  await channel.waitForConfirms();
}

// --- a consumer of a queue that the system does not have ----------------------------

class Consumer {
  constructor(stockmarket, queue, httpPort) {
    this.output = "";
    this.process = spawn(consumerProgram, [], {
      env: {
        PATH: process.env.PATH,
        RABBITMQ_QUEUE: queue,
        RABBITMQ_URL_FILE: stockmarket.secretFile("rabbitmq-consumer.url"),
        MONGODB_URL_FILE: stockmarket.secretFile("mongodb-consumer.url"),
        HTTP_ADDRESS: `127.0.0.1:${httpPort}`,
      },
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (data) => {
        this.output += data;
      });
    }
    this.ended = once(this.process, "exit");
  }

  async stop() {
    this.process.kill("SIGTERM");
    const [status] = await this.ended;
    return status;
  }
}

/** Connects to the broker as its administrator, uses a channel, and closes both. */
async function withChannel(stockmarket, use) {
  const connection = await amqp.connect((await stockmarket.secret("rabbitmq-admin.url")).trim());
  connection.on("error", () => {});
  const channel = await connection.createConfirmChannel();
  channel.on("error", () => {});
  try {
    return await use(channel);
  } finally {
    await connection.close().catch(() => {});
  }
}

const documentsOf = (stocks, queue) => stocks.find({ company: queue }).sort({ _id: 1 }).toArray();

// ------------------------------------------------------------------------------------

describe("the system", { timeout: 1_500_000 }, () => {
  /** @type {Stockmarket} */
  let stockmarket;
  let database;
  let firstUp;

  before(async () => {
    stockmarket = await Stockmarket.prepare();
    firstUp = await stockmarket.make("up", 1_200_000);
    if (firstUp.status !== 0) throw new Error(`make up failed:\n${firstUp.output}`);
    database = await stockmarket.connectDatabase();
  });

  after(async () => {
    await database?.client.close();
    await stockmarket?.remove();
  });

  test("make up prints every company's average and the address", () => {
    for (const company of companies) assert.match(firstUp.output, new RegExp(`^${company}  \\d+\\.\\d+$`, "m"));
    assert.match(firstUp.output, new RegExp(`^http://localhost:${stockmarket.ports.NGINX_PORT}$`, "m"));
  });

  test("make up again says that it is running, and changes nothing", async () => {
    const before = await stockmarket.parts();
    const { status, output, seconds } = await stockmarket.make("up");
    assert.equal(status, 0, output);
    assert.match(output, /running already/);
    assert.ok(seconds < 10 * overload(), `took ${seconds} s`);
    const ids = (parts) => [...parts].map(([name, { pid }]) => `${name} ${pid}`);
    assert.deepEqual(ids(await stockmarket.parts()), ids(before));
  });

  test("make status shows every part as ready and every company's average", async () => {
    const { status, output } = await stockmarket.make("status");
    assert.equal(status, 0, output);
    for (const part of (await stockmarket.parts()).keys())
      assert.match(output, new RegExp(`^${part} +(ready|done)`, "m"));
    for (const company of companies) assert.match(output, new RegExp(`^${company} +\\d+\\.\\d+$`, "m"));
  });

  test("make status can be read in part", async () => {
    const { status, output } = await stockmarket.run("bash", ["-o", "pipefail", "-c", "scripts/status | head -n 0"]);
    assert.equal(status, 0, output);
    assert.equal(output, "");
  });

  test("make clean keeps the data of a running system", async () => {
    const { status, output } = await stockmarket.make("clean");
    assert.notEqual(status, 0);
    assert.match(output, /make down first/);
  });

  test("each company's average changes once a second on the page", async () => {
    const page = stockmarket.watchPage();
    await eventually("the page has all companies", 10_000, () =>
      companies.every((company) => page.newest.has(company)),
    );
    let seconds;
    for (let round = 1; round <= 5; round += 1) {
      const begin = performance.now();
      const halts = monitorEventLoopDelay({ resolution: 20 });
      halts.enable();
      for (const company of companies) page.seen.set(company, []);
      await sleep(10_000); // the rate itself is measured: there is nothing to await
      seconds = (performance.now() - begin) / 1000;
      halts.disable();
      // After a halt of the whole machine its averages arrive all at once: measure again.
      if (halts.max < 0.5e9) break;
    }
    page.close();
    for (const company of companies) {
      const changes = page.seen.get(company)?.length ?? 0;
      assert.ok(Math.abs(changes - seconds) <= 2, `${company} changed ${changes} times in ${seconds.toFixed(1)} s`);
    }
  });

  test("every stored average is that of 1000 trades, within what their prices allow", async () => {
    const averages = await database.stocks.find().toArray();
    assert.ok(averages.length >= companies.length);
    for (const { company, avgPrice, count, minPrice, maxPrice } of averages) {
      assert.equal(count, windowSize, company);
      assert.ok(minPrice < avgPrice && avgPrice < maxPrice, `${company} ${minPrice} ${avgPrice} ${maxPrice}`);
      // A window lasts a second, or as long as a test stops the publisher: its prices are alike.
      assert.ok(maxPrice < 1.1 * minPrice, `${company}: prices from ${minPrice} to ${maxPrice} in one window`);
      // Five times as far from its start price as the price of the most volatile company typically is.
      const distance = Math.abs(Math.log(avgPrice / startPrices.get(company)));
      assert.ok(distance < 0.8, `${company}: ${avgPrice} is too far from ${startPrices.get(company)}`);
    }
  });

  test("the page shows what the database has", async () => {
    const page = stockmarket.watchPage();
    await eventually("ten messages", 20_000, () => page.messages >= 10);
    page.close();
    for (const company of companies) {
      const stored = (await documentsOf(database.stocks, company)).map(({ avgPrice }) => avgPrice);
      const shown = page.seen.get(company) ?? [];
      assert.ok(shown.length > 0, `${company} was not shown`);
      const places = shown.map((avgPrice) => stored.indexOf(avgPrice));
      assert.ok(!places.includes(-1), `${company}: ${shown} were shown, not all of them are stored`);
      assert.deepEqual(
        places,
        places.toSorted((a, b) => a - b),
        `${company}: shown out of order`,
      );
    }
  });

  test("a known input of 5 × 1000 trades gives 5 documents with the exact averages, and an empty queue", async () => {
    const queue = "KNOWN";
    const windows = Array.from({ length: 5 }, (_, window) => knownWindow(window));
    const expected = windows.map(exactMean);
    const [epoch, page] = [randomUUID(), stockmarket.watchPage()];
    await withChannel(stockmarket, async (channel) => {
      await channel.assertQueue(queue, {
        durable: true,
        arguments: { "x-queue-type": "quorum", "x-single-active-consumer": true },
      });
      await publish(channel, queue, windows.flat(), (index) => ({
        type: "stockmarket.trade.v1",
        messageId: `${epoch}:${index}`,
        persistent: true,
        contentType: "application/json",
      }));
    });
    const consumer = new Consumer(stockmarket, queue, stockmarket.sparePort);
    try {
      await eventually(
        "five documents",
        30_000,
        async () => (await database.stocks.countDocuments({ company: queue })) >= 5,
      );
      const documents = await documentsOf(database.stocks, queue);
      assert.equal(documents.length, 5);
      documents.forEach(({ avgPrice, count, buy, sell }, window) => {
        assert.equal(count, windowSize);
        assert.equal(buy.count + sell.count, windowSize);
        assertClose(avgPrice, expected[window], `window ${window}`);
        // Trades 0, 3, 6, … of all are sales, whichever window they fall into.
        const isSale = (index) => (window * windowSize + index) % 3 === 0;
        assertClose(
          sell.avgPrice,
          exactMean(windows[window].filter((_, index) => isSale(index))),
          `sales of window ${window}`,
        );
        assertClose(
          buy.avgPrice,
          exactMean(windows[window].filter((_, index) => !isSale(index))),
          `buys of window ${window}`,
        );
      });
      await eventually(
        "the last average is on the page",
        10_000,
        () => page.newest.get(queue) === documents[4].avgPrice,
      );
      // A reader that knows only company and avgPrice, newest _id first.
      const [newest] = await database.stocks
        .find({ company: queue }, { projection: { _id: 0, company: 1, avgPrice: 1 } })
        .sort({ _id: -1 })
        .limit(1)
        .toArray();
      assert.deepEqual(Object.keys(newest).toSorted(), ["avgPrice", "company"]);
      assertClose(newest.avgPrice, expected[4], "the newest average");
    } finally {
      page.close();
      assert.equal(await consumer.stop(), 0, consumer.output);
    }
    await withChannel(stockmarket, async (channel) => {
      assert.equal((await channel.checkQueue(queue)).messageCount, 0);
      await channel.deleteQueue(queue);
    });
  });

  test("the original publisher's trades are averaged, before and after a restart of the broker", async () => {
    const queue = "ORIGINAL";
    const consumer = new Consumer(stockmarket, queue, stockmarket.sparePort);
    try {
      for (const round of [0, 1]) {
        const windows = [2 * round, 2 * round + 1].map(knownWindow);
        await eventually("the broker takes the trades", 40_000, () =>
          withChannel(stockmarket, async (channel) => {
            // As the original does it: a non-durable queue without arguments, messages without properties.
            await channel.assertQueue(queue, { durable: false });
            await publish(channel, queue, windows.flat());
            return true;
          }),
        );
        await eventually(
          "its averages",
          40_000,
          async () => (await database.stocks.countDocuments({ company: queue })) >= 2 * (round + 1),
        );
        const documents = (await documentsOf(database.stocks, queue)).slice(2 * round);
        assert.equal(documents.length, 2);
        documents.forEach(({ avgPrice }, window) =>
          assertClose(avgPrice, exactMean(windows[window]), `round ${round}, window ${window}`),
        );
        if (round === 0) await killPart("rabbitmq");
      }
    } finally {
      assert.equal(await consumer.stop(), 0, consumer.output);
    }
    await withChannel(stockmarket, (channel) => channel.deleteQueue(queue));
  });

  async function killPart(name) {
    const { pid, restarts } = (await stockmarket.parts()).get(name) ?? assert.fail(`no part ${name}`);
    process.kill(pid, "SIGKILL");
    await eventually(`${name} is back`, 60_000, async () => {
      const part = (await stockmarket.parts()).get(name);
      return part !== undefined && part.restarts > restarts && part.isReady;
    });
  }

  test("kill -9 of each process in turn: averages continue, and no trade is lost or counted twice", async (t) => {
    const page = stockmarket.watchPage();
    try {
      for (const [name, { state }] of await stockmarket.parts()) {
        if (state === "done") continue;
        await t.test(name, async () => {
          await killPart(name);
          for (const company of companies) page.seen.set(company, []);
          await eventually("new averages of all companies are on the page", 60_000, () =>
            companies.every((company) => (page.seen.get(company)?.length ?? 0) >= 2),
          );
          // The probes ask each part every 2 s, so they may notice later than the page.
          await eventually("make status reports every part as ready", 30_000, async () => {
            const { status, output } = await stockmarket.make("status");
            assert.equal(status, 0, output);
            return true;
          });
        });
      }
    } finally {
      page.close();
    }
    const audit = await run(consumerProgram, ["audit"], {
      environment: { PATH: process.env.PATH, MONGODB_URL_FILE: stockmarket.secretFile("mongodb-consumer.url") },
    });
    assert.equal(audit.status, 0, audit.output);
    for (const company of companies) assert.match(audit.output, new RegExp(company));
  });

  test("no password is in any log", async () => {
    const secrets = [
      "rabbitmq-admin",
      "rabbitmq-publisher",
      "rabbitmq-consumer",
      "mongodb-admin",
      "mongodb-consumer",
      "mongodb-liveview",
    ];
    for (const name of secrets) {
      const { output } = await run("grep", [
        "-rlF",
        (await stockmarket.secret(`${name}.password`)).trim(),
        join(stockmarket.home, "logs"),
      ]);
      assert.equal(output, "", `the password of ${name} is in ${output}`);
    }
  });

  test("make down leaves no process and no port; make up after it shows averages within 20 s", async () => {
    await database.client.close();
    const down = async () => {
      const { status, output } = await stockmarket.make("down");
      assert.equal(status, 0, output);
      assert.deepEqual(await stockmarket.processes(), []);
      assert.deepEqual(await stockmarket.openPorts(), []);
    };
    await down();
    const up = await stockmarket.make("up");
    assert.equal(up.status, 0, up.output);
    assert.ok(up.seconds < 20 * overload(), `took ${up.seconds} s:\n${up.output}`);
    await down();
    const again = await stockmarket.make("down");
    assert.equal(again.status, 0, again.output);
    assert.match(again.output, /not running/);
    const clean = await stockmarket.make("clean");
    assert.equal(clean.status, 0, clean.output);
  });
});
