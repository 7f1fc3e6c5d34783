// Waits until every part is ready and a new average of every company has reached the page, and prints
// the progress. Gives up after a while, or as soon as a part keeps failing, and prints why.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { companies, parts, tickerIntervalMs, watchPage } from "./system.mjs";

/** How long the publisher takes to fill a window: the user may have changed it. */
const windowMs = Number(process.env.BATCH_SIZE || 1000) * tickerIntervalMs || 0;
const limitMs = 120_000 + 2 * windowMs;
const toleratedRestarts = 5;
/** With more companies it tells only how many have a new average. */
const mostNamed = 20;
const startedMs = Number(process.env.STARTED_US ?? Date.now() * 1000) / 1000;

const say = (text) => console.error(`[${((Date.now() - startedMs) / 1000).toFixed(1).padStart(5)} s] ${text}`);

const ready = new Set();

/** Prints the parts that have become ready. Returns those that are not, or undefined while the supervisor does not answer. */
async function lookAtParts() {
  const all = await parts().catch(() => undefined);
  for (const { name, isReady, state } of all ?? []) {
    if (isReady && !ready.has(name)) {
      ready.add(name);
      say(`  ${name} is ${state}`);
    }
  }
  return all?.filter(({ isReady }) => !isReady);
}

const firstSeen = new Map();
const arrived = new Set();

/** The first average on the page may come from an earlier run. The next one is new. */
function lookAtPrices(prices) {
  for (const { company, avgPrice } of prices) {
    if (!firstSeen.has(company)) firstSeen.set(company, avgPrice);
    if (avgPrice !== firstSeen.get(company) && companies.includes(company) && !arrived.has(company)) {
      arrived.add(company);
      if (companies.length <= mostNamed) say(`  ${company}: a new average is on the page`);
    }
  }
  tellProgress();
}

let toldTenths = 0;

/** Tells each tenth of many companies. */
function tellProgress() {
  const tenths = Math.floor((arrived.size * 10) / companies.length);
  if (companies.length <= mostNamed || tenths === toldTenths) return;
  toldTenths = tenths;
  say(`  ${arrived.size} of ${companies.length} companies: a new average is on the page`);
}

async function watchPrices(signal) {
  while (!signal.aborted) {
    const socket = watchPage(lookAtPrices);
    const stop = () => socket.terminate();
    signal.addEventListener("abort", stop, { once: true });
    await new Promise((resolve) => socket.on("close", resolve));
    signal.removeEventListener("abort", stop);
    await sleep(500);
  }
}

function lastLines(name) {
  try {
    return execFileSync("tail", ["-n", "15", join(process.env.STOCKMARKET_HOME, "logs", `${name}.log`)], {
      encoding: "utf8",
    });
  } catch {
    return "";
  }
}

const namesOf = (some) =>
  some.length <= mostNamed
    ? some.join(", ")
    : `${some.slice(0, mostNamed).join(", ")} and ${some.length - mostNamed} more`;

function blame(unready, reason) {
  console.error(`\nstockmarket: ${reason}`);
  for (const { name, state, restarts } of unready) {
    console.error(`\n${name}: ${state}${restarts ? `, restarted ${restarts} times` : ""}; the end of its log:`);
    console.error(lastLines(name).trimEnd().replace(/^/gm, "  "));
  }
  const missing = companies.filter((company) => !arrived.has(company));
  if (!unready.length && missing.length)
    console.error(`  → see make logs SERVICE=… of what these pass through: ${namesOf(missing)}`);
}

const stopping = new AbortController();
let isWatching = false;
let answered = false;
for (;;) {
  const unready = await lookAtParts();
  answered ||= unready !== undefined;
  if (!isWatching && ready.has("nginx") && [...ready].some((name) => name.startsWith("liveview"))) {
    isWatching = true;
    watchPrices(stopping.signal);
  }
  if (unready?.length === 0 && arrived.size === companies.length) break;
  const failing = unready?.filter(({ restarts }) => restarts >= toleratedRestarts) ?? [];
  const isLate = Date.now() - startedMs > limitMs && performance.now() > limitMs;
  const isSilent = !answered && performance.now() > 10_000;
  if (failing.length || isLate || isSilent) {
    if (isSilent)
      blame([{ name: "process-compose", state: "does not answer", restarts: 0 }], "the supervisor did not start");
    else if (failing.length) blame(failing, "a part keeps failing");
    else blame(unready ?? [], `not every average has reached the page within ${limitMs / 1000} s`);
    process.exitCode = 1;
    break;
  }
  await sleep(250);
}
stopping.abort();
