/** Very many WebSockets over both live views, through NGINX: each gets each update, and soon. */
import { setTimeout as sleep } from "node:timers/promises";
import { SUBPROTOCOL } from "../page/contract.js";
import { startSystem } from "../test/system/support.js";
import { eventually, openDatabase, Viewer, window } from "../test/support.js";
import { median, ms, percentile, report, verdict } from "./statistics.js";

const CLIENTS = 2000;
const COMPANIES = ["AAPL", "MSFT", "TSLA"];
const WINDOWS = 30;

/** Memory that a live view takes, in bytes. @param {string} url */
async function memory(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(/^process_resident_memory_bytes (\S+)$/m)?.[1]);
}

export async function fanOut() {
  const database = await openDatabase();
  await database.store(
    ...COMPANIES.flatMap((company) => Array.from({ length: 300 }, (_, index) => window(company, index))),
  );
  const system = await startSystem(database);
  /** @type {Viewer[]} */
  const viewers = [];
  try {
    const before = (await Promise.all(system.liveviewUrls.map(memory))).reduce((a, b) => a + b);
    while (viewers.length < CLIENTS) {
      viewers.push(
        ...(await Promise.all(Array.from({ length: 100 }, () => Viewer.open(system.socketUrl, SUBPROTOCOL)))),
      );
    }
    await eventually(() => viewers.every((viewer) => viewer.all("market").length === 1), "all are up to date");
    const shares = viewers.map((viewer) => viewer.all("alive")[0].server);
    const first = shares.filter((name) => name === "liveview-1").length;

    /** @type {Map<string, number>} */
    const storedAt = new Map();
    /** @type {number[]} */
    const delays = [];
    let received = 0;
    for (const { socket } of viewers) {
      // What reads here must not be what is measured: nothing is parsed but what is looked for.
      socket.removeAllListeners("message");
      socket.on("message", (/** @type {Buffer} */ data) => {
        const now = performance.now();
        for (const [, company, price] of data.toString().matchAll(/"company":"(\w+)","avgPrice":(1\d{3}),/g)) {
          received += 1;
          // Told before the write was acknowledged: no delay at all.
          delays.push(Math.max(0, now - (storedAt.get(`${company} ${price}`) ?? now)));
        }
      });
    }
    await Promise.all(
      COMPANIES.map(async (company, index) => {
        await sleep(index * 270);
        const start = performance.now();
        for (let count = 1; count <= WINDOWS; count += 1) {
          await sleep(Math.max(0, start + count * 1000 - performance.now()));
          await database.store(window(company, 1000 + count));
          storedAt.set(`${company} ${1000 + count}`, performance.now());
        }
      }),
    );
    const expected = CLIENTS * COMPANIES.length * WINDOWS;
    await eventually(() => received >= expected, "all have all").catch(() => {});
    const after = (await Promise.all(system.liveviewUrls.map(memory))).reduce((a, b) => a + b);

    report("clients on liveview-1, on liveview-2", `${first}, ${CLIENTS - first}`);
    report("updates expected, received", `${expected}, ${received}`);
    const figures = [median(delays), percentile(delays, 0.9), percentile(delays, 0.99), percentile(delays, 1)];
    report("acknowledged to received: median, 90 %, 99 %, longest", figures.map(ms).join(", "));
    report("live views' memory for each client", `${((after - before) / CLIENTS / 1024).toFixed(1)} KiB`);
    verdict("each gets each update", received === expected);
    verdict("99 % within 250 ms", percentile(delays, 0.99) <= 250);
  } finally {
    for (const viewer of viewers) viewer.close();
    await system.stop();
    await database.close();
  }
}
