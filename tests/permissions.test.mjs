// What the broker's users may do, with the queues of companies of any valid symbol. Needs tests/with-servers.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import amqp from "amqplib";
import { root } from "./lib/stockmarket.mjs";

const { valid, invalid } = JSON.parse(await readFile(join(root, "tests/lib/symbols.json"), "utf8"));

/** @type {Map<string, amqp.ChannelModel>} */
const connections = new Map();

before(async () => {
  for (const user of ["admin", "publisher", "consumer"]) {
    const url = await readFile(join(process.env.TEST_SERVERS_HOME, "secrets", `rabbitmq-${user}.url`), "utf8");
    const connection = await amqp.connect(url.trim());
    connection.on("error", () => {});
    connections.set(user, connection);
  }
});
after(() => Promise.all([...connections.values()].map((connection) => connection.close())));

/** Runs `use` on a channel of this user. A refusal closes the channel. */
async function as(user, use) {
  const channel = await connections.get(user).createConfirmChannel();
  let refusal;
  channel.on("error", (error) => {
    refusal = error;
  });
  try {
    const result = await use(channel);
    await channel.close();
    return result;
  } catch (error) {
    throw refusal ?? error;
  }
}

const quorum = { durable: true, arguments: { "x-queue-type": "quorum", "x-single-active-consumer": true } };

async function publish(channel, queue, text) {
  channel.sendToQueue(queue, Buffer.from(text));
  await channel.waitForConfirms();
}

for (const symbol of valid) {
  const rejected = `${symbol}.rejected`;

  test(`${symbol}: its trades and its rejected messages take their way`, async () => {
    await as("publisher", async (channel) => {
      await channel.assertQueue(symbol, quorum);
      await publish(channel, symbol, "a trade");
    });
    await as("consumer", async (channel) => {
      await channel.checkQueue(symbol);
      const delivery = await new Promise((resolve) => channel.consume(symbol, resolve));
      assert.equal(String(delivery.content), "a trade");
      await channel.assertQueue(rejected, { durable: true });
      await publish(channel, rejected, "an invalid trade");
      channel.ack(delivery);
    });
    await as("admin", async (channel) => {
      assert.equal((await channel.checkQueue(rejected)).messageCount, 1);
    });
  });

  const forbidden = [
    ["publisher", "read trades", (channel) => channel.get(symbol)],
    ["publisher", "declare the queue of rejected messages", (channel) => channel.assertQueue(rejected)],
    ["consumer", "delete the queue", (channel) => channel.deleteQueue(symbol)],
    ["consumer", "read what was rejected", (channel) => channel.get(rejected)],
  ];
  test(`${symbol}: no user can do another one's work`, async () => {
    for (const [user, what, use] of forbidden)
      await assert.rejects(as(user, use), /ACCESS_REFUSED/, `the ${user} can ${what}`);
  });
}

describe("a queue whose name is not a symbol", () => {
  // An empty name asks the broker for one. It refuses names that begin with amq., and drops line breaks.
  for (const name of invalid.filter((symbol) => symbol !== "" && !symbol.startsWith("amq.") && symbol !== "MSFT\n")) {
    test(`${JSON.stringify(name)}: the publisher cannot declare it, the consumer cannot read it`, async () => {
      await as("admin", (channel) => channel.assertQueue(name, { durable: true }));
      await assert.rejects(
        as("publisher", (channel) => channel.assertQueue(name, { durable: true })),
        /ACCESS_REFUSED/,
      );
      await assert.rejects(
        as("consumer", (channel) => channel.get(name)),
        /ACCESS_REFUSED/,
      );
    });
  }

  test("queues of rejected messages have no such queue of their own", async () => {
    await assert.rejects(
      as("consumer", (channel) => channel.assertQueue("MSFT.rejected.rejected")),
      /ACCESS_REFUSED/,
    );
  });
});

// Permissions are patterns of names, without the kind. An exchange under a company's name leads nowhere.
test("the publisher cannot route trades through exchanges", async () => {
  for (const exchange of ["amq.fanout", "EXCHANGE"]) {
    await as("admin", (channel) => channel.assertExchange(exchange, "fanout"));
    await as("publisher", (channel) => channel.assertQueue("MSFT", quorum));
    await assert.rejects(
      as("publisher", (channel) => channel.bindQueue("MSFT", exchange, "")),
      /ACCESS_REFUSED/,
    );
  }
  await assert.rejects(
    as("publisher", (channel) => channel.assertExchange("amq.fanout", "fanout")),
    /ACCESS_REFUSED/,
  );
});
