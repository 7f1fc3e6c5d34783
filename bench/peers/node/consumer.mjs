// The whole job with amqplib: parse, average, store each window, acknowledge it.
import amqp from "amqplib";
import { MongoClient } from "mongodb";

const WINDOW = 1000;
const { RABBITMQ_URL, RABBITMQ_QUEUE, MONGODB_URL, MONGODB_DB, PREFETCH = "17000" } = process.env;

const database = await new MongoClient(MONGODB_URL).connect();
const averages = database.db(MONGODB_DB).collection("stocks", { writeConcern: { w: "majority", journal: true } });
const channel = await (await amqp.connect(RABBITMQ_URL)).createChannel();
await channel.prefetch(Number(PREFETCH));

let count = 0;
let sum = 0;
let window = 0;
// One write after the other: acknowledging a window also acknowledges all earlier ones.
let stored = Promise.resolve();

await channel.consume(RABBITMQ_QUEUE, (message) => {
  const { company, price } = JSON.parse(message.content.toString());
  sum += price;
  count += 1;
  if (count < WINDOW) return;
  const average = { company, avgPrice: sum / WINDOW, window };
  count = 0;
  sum = 0;
  window += 1;
  stored = stored.then(async () => {
    await averages.insertOne(average);
    channel.ack(message, true);
  });
});
