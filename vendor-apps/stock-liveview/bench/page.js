/** The page with hundreds of companies in a real browser: does it keep up, does it rest, and how soon is it there? */
import { setTimeout as sleep } from "node:timers/promises";
import { DESKTOP, launch, longestTask, openPage, TASKS } from "../test/system/browser.js";
import { startSystem } from "../test/system/support.js";
import { openDatabase, window } from "../test/support.js";
import { ms, report, verdict } from "./statistics.js";

const COMPANIES = 600;
const WINDOWS_PER_SECOND = 50;
const SECONDS = Number(process.env.PAGE_SECONDS || 60);
/** Bytes in a second of a slow link, and its latency in ms. */
const SLOW_LINK = { bytes: 200_000, latency: 20 };
const TASK_LIMIT_MS = 100;

const names = Array.from({ length: COMPANIES }, (_, index) => `S${String(index).padStart(3, "0")}`);
const prices = names.map((_, index) => 10 + index);

/** A company's next window. @param {number} index */
function next(index) {
  prices[index] *= 1 + (Math.random() - 0.5) * 0.004;
  return window(names[index], prices[index]);
}

export async function page() {
  const database = await openDatabase();
  for (let count = 0; count < 30; count += 1) await database.store(...names.map((_, index) => next(index)));
  const system = await startSystem(database);
  const browser = await launch();
  try {
    await firstPrices(browser, system.url);
    for (const address of ["", "?sort=-change", "?view=cards"]) {
      report("view", address || "table");
      const stop = trade(database);
      await watch(browser, `${system.url}/${address}`);
      await stop();
    }
  } finally {
    await browser.close();
    await system.stop();
    await database.close();
  }
}

/** Stores windows at a steady rate until the returned function is called. @param {Awaited<ReturnType<typeof openDatabase>>} database */
function trade(database) {
  const tick = 100;
  let isOn = true;
  const done = (async () => {
    for (let at = 0; isOn;) {
      const began = performance.now();
      const batch = Array.from({ length: (WINDOWS_PER_SECOND * tick) / 1000 }, () => next((at += 7) % COMPANIES));
      await database.store(...batch);
      await sleep(Math.max(0, began + tick - performance.now()));
    }
  })();
  return async () => {
    isOn = false;
    await done;
  };
}

/** @param {Awaited<ReturnType<typeof launch>>} browser @param {string} url */
async function firstPrices(browser, url) {
  const { page: tab, close } = await openPage(browser, DESKTOP);
  const client = await tab.context().newCDPSession(tab);
  await client.send("Network.enable");
  await client.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: SLOW_LINK.latency,
    downloadThroughput: SLOW_LINK.bytes,
    uploadThroughput: SLOW_LINK.bytes,
  });
  await tab.goto(url, { waitUntil: "commit" });
  const first = await tab.evaluate(
    () =>
      new Promise((resolve) => {
        const look = () => {
          const shown = document.querySelector("#table-body .row .row-price")?.textContent;
          if (shown) resolve(performance.now());
          else requestAnimationFrame(look);
        };
        look();
      }),
  );
  report(`first prices of ${COMPANIES} companies at ${SLOW_LINK.bytes / 1000} kB/s`, ms(Number(first)));
  verdict("within a second", Number(first) <= 1000);
  await close();
}

/** @param {Awaited<ReturnType<typeof launch>>} browser @param {string} url */
async function watch(browser, url) {
  const { page: tab, problems, close } = await openPage(browser, DESKTOP);
  const client = await tab.context().newCDPSession(tab);
  await client.send("Performance.enable");
  await tab.goto(url);
  await tab.locator("#overview").waitFor();
  await sleep(3000);
  const before = await metrics(client);
  const longest = { cpu: 0, wall: 0 };
  const slices = Math.max(Math.round(SECONDS / 10), 1);
  const heaps = [before.JSHeapUsedSize];
  for (let slice = 0; slice < slices; slice += 1) {
    await browser.startTracing(tab, { categories: TASKS });
    await tab.mouse.move(600, 500);
    // The last one scrolls.
    for (let step = 0; step < 20; step += 1) {
      if (slice === slices - 1) await tab.mouse.wheel(0, 400);
      await sleep((SECONDS * 1000) / slices / 20);
    }
    const { cpu, wall } = longestTask(JSON.parse(String(await browser.stopTracing())));
    longest.cpu = Math.max(longest.cpu, cpu);
    longest.wall = Math.max(longest.wall, wall);
    if (slice % 6 === 5) heaps.push((await metrics(client)).JSHeapUsedSize);
  }
  const after = await metrics(client);
  const seconds = after.Timestamp - before.Timestamp;
  const share = (/** @type {string} */ name) => `${(((after[name] - before[name]) / seconds) * 100).toFixed(1)} %`;
  report("longest task: processor time, wall clock", `${ms(longest.cpu)}, ${ms(longest.wall)}`);
  report(
    "of a processor: script, layout, styles",
    ["ScriptDuration", "LayoutDuration", "RecalcStyleDuration"].map(share).join(", "),
  );
  report("heap after each minute, MB", heaps.map((bytes) => (bytes / 1e6).toFixed(2)).join(", "));
  report("nodes, after", `${before.Nodes}, ${after.Nodes}`);
  // By its processor time: what else the machine does is not the page's.
  verdict(`no task over ${TASK_LIMIT_MS} ms`, longest.cpu <= TASK_LIMIT_MS);
  verdict("nothing in the console", problems.length === 0);
  await close();
}

/** What the browser measures, after a garbage collection. @param {import("playwright-core").CDPSession} client @returns {Promise<Record<string, number>>} */
async function metrics(client) {
  await client.send("HeapProfiler.collectGarbage");
  const { metrics: values } = await client.send("Performance.getMetrics");
  return Object.fromEntries(values.map(({ name, value }) => [name, value]));
}
