/** The server's CPU time for an update, with few and with very many averages stored, beside the original's way. */
import { setTimeout as sleep } from "node:timers/promises";
import { SUBPROTOCOL } from "../page/contract.js";
import { startSystem } from "../test/system/support.js";
import { eventually, openDatabase, Viewer, window } from "../test/support.js";
import { median, ms, report, verdict } from "./statistics.js";

const SIZES = [1_000, 1_000_000];
const COMPANIES = ["AAPL", "MSFT", "TSLA"];
const ROUNDS = 7;
const UPDATES = 1500;
const PER_SECOND = 250;

/** @param {import("../test/support.js").Collection} collection @param {number} size */
async function fill(collection, size) {
  const batch = 20_000;
  for (let from = 0; from < size; from += batch) {
    const documents = Array.from({ length: Math.min(batch, size - from) }, (_, index) => ({
      company: COMPANIES[index % COMPANIES.length],
      avgPrice: 300 + Math.random(),
      count: 1000,
    }));
    await collection.insertMany(documents, { ordered: false, writeConcern: { w: "majority" } });
  }
}

/** CPU time that a live view has used, in seconds. @param {string} url */
async function cpuSeconds(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(/^process_cpu_seconds_total (\S+)$/m)?.[1]);
}

/** What the original does twice a second. @param {import("../test/support.js").Collection} collection */
async function sortAndGroup(collection) {
  const durations = [];
  for (let round = 0; round < 3; round += 1) {
    const started = performance.now();
    await collection
      .aggregate([{ $sort: { _id: -1 } }, { $group: { _id: "$company", latestEntry: { $first: "$$ROOT" } } }])
      .toArray();
    durations.push(performance.now() - started);
  }
  return median(durations);
}

export async function cost() {
  const parts = [];
  for (const size of SIZES) {
    const database = await openDatabase();
    await fill(database.collection, size);
    const system = await startSystem(database);
    const [url] = system.liveviewUrls;
    const viewer = await Viewer.open(url.replace("http", "ws"), SUBPROTOCOL);
    parts.push({ size, database, system, url, viewer, costs: /** @type {number[]} */ ([]) });
  }
  try {
    // In turn, so that whatever else the machine does meets all alike; the first round warms up.
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const { database, url, viewer, costs } of parts) {
        viewer.messages = [];
        const before = await cpuSeconds(url);
        const started = performance.now();
        for (let sent = 0; sent < UPDATES; sent += 10) {
          await sleep(Math.max(0, started + (sent / PER_SECOND) * 1000 - performance.now()));
          await database.store(...Array.from({ length: 10 }, (_, index) => window(COMPANIES[index % 3], sent + index)));
        }
        await eventually(
          () => viewer.all("averages").reduce((sum, { averages }) => sum + averages.length, 0) === UPDATES,
          "all updates have come",
          60_000,
        );
        if (round > 0) costs.push(((await cpuSeconds(url)) - before) / UPDATES);
      }
    }
    for (const { size, costs, database } of parts) {
      report(`${size} averages stored: CPU per update (median of ${ROUNDS})`, `${(median(costs) * 1e6).toFixed(0)} µs`);
      report(`${size} averages stored: sort and group, as the original`, ms(await sortAndGroup(database.collection)));
    }
    const [few, many] = parts.map(({ costs }) => median(costs));
    report("very many beside few", `${(((many - few) / few) * 100).toFixed(1)} %`);
    verdict("CPU time per update within 10 %", Math.abs(many - few) / few <= 0.1);
  } finally {
    for (const { database, system, viewer } of parts) {
      viewer.close();
      await system.stop();
      await database.close();
    }
  }
}
