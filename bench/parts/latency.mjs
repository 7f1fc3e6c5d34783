// How long from a window's last trade to the WebSocket behind NGINX?
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Averages } from "../lib/averages.mjs";
import { number } from "../lib/format.mjs";
import { bars } from "../lib/plot.mjs";
import { during, until } from "../lib/processes.mjs";
import { root } from "../lib/programs.mjs";
import { median, percentile } from "../lib/statistics.mjs";
import { consumer, publisher, unique } from "../lib/system.mjs";
import { WatchedBroker } from "../lib/watched-broker.mjs";

export const title = "Latency from the last trade of a window to the page";

const { WebSocket } = createRequire(join(root, "vendor-apps/stock-liveview/package.json"))("ws");
const COMPANIES = ["MSFT", "TSLA", "AAPL"];
const LOADS = [
  { name: "1000 trades/s for each company", intervalMs: 1 },
  { name: "full speed", intervalMs: 0 },
];
const WARM_UP_MS = 3000;

export async function measure({ settings, programs, queues, progress }) {
  const rounds = [];
  for (let round = 1; round <= settings.rounds; round += 1) {
    for (const load of LOADS) {
      const measured = await latencies({ programs, queues, intervalMs: load.intervalMs, seconds: settings.seconds });
      progress(
        `round ${round}: ${load.name}: ${measured.sinceSent.length} windows, median ${number(median(measured.sinceSent))} ms`,
      );
      rounds.push({ round, load: load.name, ...measured });
    }
  }
  return { companies: COMPANIES.length, rounds };
}

async function latencies({ programs, queues, intervalMs, seconds }) {
  const { startSystem } = await import("../../vendor-apps/stock-liveview/test/system/support.js");
  const database = new Averages(unique("latency"));
  const broker = await WatchedBroker.before(process.env.TEST_RABBITMQ_URL, 1000);
  const running = [];
  let system;
  let socket;
  try {
    running.push(await publisher("publisher", programs.publisher, COMPANIES, intervalMs, { RABBITMQ_URL: broker.url }));
    for (const company of COMPANIES) await during(running, queues.exists(company), "the queue is there", 120);
    running.push(...COMPANIES.map((company) => consumer("consumer", programs.consumer, [company], database.name)));
    const all = until(() => hasAll(database), "each company has an average", 120, 100);
    await during(running, all, "each company has an average", 150);
    system = await startSystem({ url: process.env.TEST_MONGODB_URL, name: database.name });
    socket = new WebSocket(system.socketUrl);
    socket.on("error", (error) => console.error(`the WebSocket: ${error.message}`));
    /** When a price was first there, by company and price. */
    const arrived = new Map();
    socket.on("message", (data) => {
      const at = performance.now();
      const message = JSON.parse(String(data));
      if (message.type !== "prices") return;
      for (const { company, avgPrice } of message.prices) {
        const key = keyOf(company, avgPrice);
        if (!arrived.has(key)) arrived.set(key, at);
      }
    });
    await during(running, once(socket, "open"), "the WebSocket is open", 60);
    await during(running, sleep(WARM_UP_MS), "warming up", 60);
    const [begin] = [performance.now(), await during(running, sleep(seconds * 1000), "the load", seconds + 60)];
    const end = performance.now();
    // Those that are on their way still arrive.
    await during(running, sleep(1500), "the last windows", 60);
    const seen = seenAt(broker.windows(), arrived);
    const windows = seen.filter(({ sentAt }) => sentAt >= begin && sentAt <= end);
    const shown = windows.filter(({ at }) => at < Infinity);
    return {
      windows: windows.length,
      sinceSent: shown.map(({ at, sentAt }) => at - sentAt),
      sinceDue:
        intervalMs > 0 ? shown.map(({ at, company, number }) => at - broker.dueAt(company, number, intervalMs)) : [],
    };
  } finally {
    socket?.terminate();
    await Promise.all(running.map((one) => one.stop()));
    await system?.stop();
    await broker.close();
    await queues.remove(COMPANIES);
    await database.close();
  }
}

async function hasAll(database) {
  const companies = await database.collection.distinct("company");
  if (companies.length < COMPANIES.length) throw new Error(`averages of ${companies.length} companies`);
}

/**
 * When each window, or a newer one of its company, was first there: at full speed the live view tells only the newest.
 * @param {{company: string, number: number, sentAt: number, average: number}[]} windows
 * @param {Map<string, number>} arrived
 */
function seenAt(windows, arrived) {
  return COMPANIES.flatMap((company) => {
    let at = Infinity;
    const own = windows.filter((window) => window.company === company).reverse();
    return own.map((window) => ({
      ...window,
      at: (at = Math.min(at, arrived.get(keyOf(company, window.average)) ?? at)),
    }));
  });
}

/** Sums in another order differ in the last digits. */
const keyOf = (company, average) => `${company} ${average.toPrecision(11)}`;

export function render({ rounds }) {
  const loads = [...new Set(rounds.map(({ load }) => load))];
  const rows = loads.flatMap((load) => {
    const own = rounds.filter((one) => one.load === load);
    return ["sinceDue", "sinceSent"].flatMap((since) => {
      const all = own.map((one) => one[since]).filter((values) => values.length > 0);
      // Without a rate nothing is due.
      if (all.length === 0 && since === "sinceDue") return [];
      const of = (share) => median(all.map((values) => percentile(values, share)));
      const shown = all.flat().length / own.reduce((total, { windows }) => total + windows, 0);
      const name = `${load}, since the last trade was ${since === "sinceDue" ? "due" : "sent"}`;
      return [
        { name, median: of(0.5), high: of(0.99), longest: all.length > 0 ? Math.max(...all.flat()) : NaN, shown },
      ];
    });
  });
  return {
    tables: [
      {
        title: "Milliseconds until the average is at the WebSocket behind NGINX",
        columns: ["", "median", "99 %", "longest", "windows seen within 1.5 s, %"],
        rows: rows.map((row) => [row.name, row.median, row.high, row.longest, row.shown * 100].map(cell)),
      },
    ],
    plots: [
      {
        name: "latency",
        title: "Latency, 99 %",
        svg: bars(
          "Milliseconds from the last trade to the page: 99 %",
          ["ms"],
          rows.map(({ name, high }) => ({ name, values: [high || 0], label: `${number(high)} ms` })),
        ),
      },
    ],
  };
}

const cell = (value) => (typeof value === "number" ? number(value) : value);
