// What grows with the number of stored averages?
import { Averages } from "../lib/averages.mjs";
import { count, mebibytes, number } from "../lib/format.mjs";
import { lines } from "../lib/plot.mjs";
import { during, isOk, Running, until } from "../lib/processes.mjs";
import { medians } from "../lib/statistics.mjs";
import { consumer, limitSeconds, unique } from "../lib/system.mjs";
import { freePort } from "../lib/ports.mjs";

export const title = "Growth with the number of stored averages";

const WINDOW = 1000;
const TRADES = 100_000;
const BATCH = 5000;

export async function measure({ settings, programs, queues, progress }) {
  const rounds = [];
  for (const averages of settings.averages) {
    const database = new Averages(unique("averages"));
    const queue = unique("averages");
    try {
      await fill(database, queue, averages, programs, queues);
      for (let round = 1; round <= settings.rounds; round += 1) {
        const consumed = await consume(database, queue, programs, queues);
        const shown = await show(database, programs);
        progress(`${count(averages)} averages, round ${round}: live view ready in ${number(shown.readySeconds)} s`);
        rounds.push({ averages, ...consumed, ...shown });
      }
    } finally {
      await queues.remove([queue]);
      await database.close();
    }
  }
  return { trades: TRADES, rounds };
}

/** As the consumer has stored its first window, so all that follow: what they say of trades is made up. */
async function fill(database, queue, averages, programs, queues) {
  await queues.prepare(queue, "quorum", WINDOW);
  let first;
  const reader = consumer("consumer", programs.consumer, [queue], database.name, "MSFT");
  try {
    const stored = until(
      async () => (first = await database.collection.findOne()) ?? Promise.reject(new Error("none")),
      "a window",
    );
    await during([reader], stored, "the first window", 60);
  } finally {
    await reader.stop();
  }
  const { _id, ...window } = first;
  for (let next = 1; next < averages; next += BATCH) {
    const length = Math.min(BATCH, averages - next);
    await database.collection.insertMany(Array.from({ length }, (_, index) => ({ ...window, window: next + index })));
  }
  if (!_id) throw new Error("the first window has no _id");
}

/** From its start to the first window, and from there to the last. */
async function consume(database, queue, programs, queues) {
  await queues.prepare(queue, "quorum", TRADES);
  const known = await database.collection.find().sort({ window: -1 }).limit(1).next();
  const last = Number(known.window) + TRADES / WINDOW;
  const times = new Map();
  let isStored;
  const stored = new Promise((resolve) => (isStored = resolve));
  const watched = new Averages(database.name);
  await watched.watch(({ window }, at) => {
    times.set(Number(window), at);
    if (Number(window) === last) isStored();
  });
  const begin = performance.now();
  const reader = consumer("consumer", programs.consumer, [queue], database.name, "MSFT");
  try {
    await during([reader], stored, `${TRADES} trades are drained`, limitSeconds(TRADES));
    const used = reader.usage();
    const first = times.get(Number(known.window) + 1);
    return {
      firstWindowSeconds: (first - begin) / 1000,
      tradesPerSecond: (TRADES - WINDOW) / ((times.get(last) - first) / 1000),
      cpuMicrosecondsPerTrade: (used.cpuSeconds * 1e6) / TRADES,
      consumerPeakBytes: used.peakBytes,
    };
  } finally {
    await reader.stop();
    await watched.close({ drop: false });
  }
}

/** How soon the live view is ready, and what that takes. */
async function show(database, programs) {
  const port = await freePort();
  const begin = performance.now();
  const view = new Running("liveview", programs.liveview.command, {
    MONGODB_URL: process.env.TEST_MONGODB_URL,
    MONGODB_DB: database.name,
    HOST: "127.0.0.1",
    PORT: String(port),
    LOG_LEVEL: "error",
  });
  try {
    await during(
      [view],
      until(() => isOk(`http://127.0.0.1:${port}/readyz`), "the live view is ready"),
      "ready",
      90,
    );
    const readySeconds = (performance.now() - begin) / 1000;
    const used = view.usage();
    return { readySeconds, liveviewCpuSeconds: used.cpuSeconds, liveviewPeakBytes: used.peakBytes };
  } finally {
    await view.stop();
  }
}

export function render({ trades, rounds }) {
  const sizes = [...new Set(rounds.map(({ averages }) => averages))].map((averages) =>
    medians(rounds.filter((one) => one.averages === averages)),
  );
  return {
    tables: [
      {
        title: `The consumer drains ${count(trades)} trades, and a live view starts`,
        columns: [
          "averages stored",
          "consumer: first window, s",
          "trades/s",
          "µs for a trade",
          "peak, MiB",
          "live view: ready, s",
          "CPU, s",
          "peak, MiB",
        ],
        rows: sizes.map((one) => [
          count(one.averages),
          number(one.firstWindowSeconds),
          count(one.tradesPerSecond),
          number(one.cpuMicrosecondsPerTrade),
          mebibytes(one.consumerPeakBytes),
          number(one.readySeconds),
          number(one.liveviewCpuSeconds),
          mebibytes(one.liveviewPeakBytes),
        ]),
      },
    ],
    plots: [
      {
        name: "growth-averages",
        title: "Seconds to start by stored averages",
        svg: lines("Seconds to start by stored averages", "averages stored", [
          { name: "consumer: first window", points: sizes.map((one) => [one.averages, one.firstWindowSeconds]) },
          { name: "live view: ready", points: sizes.map((one) => [one.averages, one.readySeconds]) },
        ]),
      },
    ],
  };
}
