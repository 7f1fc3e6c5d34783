// How fast does each reader drain a backlog of prepared trades?
import { Averages } from "../lib/averages.mjs";
import { count, mebibytes, number } from "../lib/format.mjs";
import { bars } from "../lib/plot.mjs";
import { during } from "../lib/processes.mjs";
import { peer, titles } from "../lib/programs.mjs";
import { median, medians, sum } from "../lib/statistics.mjs";
import { consumer, limitSeconds, unique } from "../lib/system.mjs";

export const title = "Draining a backlog";

const WINDOW = 1000;
const FIGURES = [
  "tradesPerSecond",
  "slowestOfFastest",
  "cpuMicrosecondsPerTrade",
  "contextSwitchesPerWindow",
  "peakBytes",
];

export async function measure({ settings, programs, queues, progress }) {
  const readers = [["skip"], ["ours", programs.consumer]];
  if (settings.baseline) readers.push(["baseline", { command: [settings.baseline] }]);
  for (const name of settings.peers) {
    const program = await peer(name);
    if (program) readers.push([name, program]);
  }
  const rounds = [];
  for (let round = 1; round <= settings.rounds; round += 1) {
    for (const kind of settings.kinds) {
      for (const atOnce of settings.queues) {
        for (const [reader, program] of readers) {
          const measured = await drain({ program, kind, atOnce, trades: settings.trades, queues });
          const { tradesPerSecond, cpuMicrosecondsPerTrade } = measured;
          const what = `round ${round}: ${kind}, ${atOnce} at once: ${reader}`;
          progress(`${what.padEnd(42)} ${count(tradesPerSecond)}/s, ${number(cpuMicrosecondsPerTrade)} µs`);
          rounds.push({ round, kind, atOnce, reader, ...measured });
        }
      }
    }
  }
  return { trades: settings.trades, titles: await titles(), rounds };
}

/**
 * Fills queues and drains them, each by a process of its own, or by the reader that skips frames without a program.
 * The trades are shared out to the queues, in whole windows.
 */
export async function drain({ program, kind, atOnce, trades: inAll, queues }) {
  const trades = Math.ceil(inAll / atOnce / WINDOW) * WINDOW;
  const names = Array.from({ length: atOnce }, () => unique(`drain-${kind}`));
  try {
    await Promise.all(names.map((queue) => queues.prepare(queue, kind, trades)));
    const each = await Promise.all(
      names.map((queue) => (program ? consume(program, queue, trades) : queues.skip(queue, trades))),
    );
    const rates = each.map(({ tradesPerSecond }) => tradesPerSecond);
    return {
      tradesPerSecond: sum(rates),
      slowestOfFastest: Math.min(...rates) / Math.max(...rates),
      cpuMicrosecondsPerTrade: sum(each.map((one) => one.cpuMicrosecondsPerTrade)) / atOnce,
      contextSwitchesPerWindow: (sum(each.map((one) => one.contextSwitches)) / atOnce / trades) * WINDOW,
      peakBytes: Math.max(...each.map((one) => one.peakKilobytes)) * 1024,
    };
  } finally {
    await queues.remove(names);
  }
}

/** From the first window to the last, so that no start-up is in it; the processor time is all. */
async function consume(program, queue, trades) {
  const database = new Averages(queue);
  const times = new Map();
  const last = trades / WINDOW - 1;
  let reader;
  try {
    let isStored;
    const stored = new Promise((resolve) => (isStored = resolve));
    const onWindow = ({ window }, at) => {
      times.set(Number(window), at);
      if (Number(window) === last) isStored(reader.usage());
    };
    await database.watch(onWindow, { "fullDocument.window": { $in: [0, last] } });
    reader = consumer("consumer", program, [queue], database.name, "MSFT");
    const used = await during([reader], stored, `${trades} trades are drained`, limitSeconds(trades));
    return {
      tradesPerSecond: (trades - WINDOW) / ((times.get(last) - times.get(0)) / 1000),
      cpuMicrosecondsPerTrade: (used.cpuSeconds * 1e6) / trades,
      contextSwitches: used.contextSwitches,
      peakKilobytes: used.peakBytes / 1024,
    };
  } finally {
    await reader?.stop();
    await database.close();
  }
}

export function render({ trades, titles, rounds }) {
  const groups = [...new Set(rounds.map(({ kind, atOnce }) => `${kind} ${atOnce}`))];
  const parts = groups.map((group) => {
    const [kind, atOnce] = group.split(" ");
    const own = rounds.filter((one) => one.kind === kind && one.atOnce === Number(atOnce));
    const readers = [...new Set(own.map(({ reader }) => reader))].map((reader) => {
      const measured = own.filter((one) => one.reader === reader);
      const share = measured.map((one) => one.tradesPerSecond / limit(own, one.round));
      const numbers = measured.map((one) => Object.fromEntries(FIGURES.map((name) => [name, one[name]])));
      return { reader, share: median(share), ...medians(numbers) };
    });
    const what = `${kind} queue${atOnce === "1" ? "" : `s, ${atOnce} at once`}`;
    return {
      table: {
        title: `${what}: ${count(trades)} trades`,
        columns: [
          "",
          "trades/s",
          "of the limit",
          "µs for a trade",
          "context switches for a window",
          "peak, MiB",
          ...(atOnce === "1" ? [] : ["slowest of fastest"]),
        ],
        rows: readers.map((one) => [
          one.reader === "ours" ? `**${titles.ours}**` : titles[one.reader],
          count(one.tradesPerSecond),
          number(one.share),
          number(one.cpuMicrosecondsPerTrade),
          number(one.contextSwitchesPerWindow),
          mebibytes(one.peakBytes),
          ...(atOnce === "1" ? [] : [number(one.slowestOfFastest)]),
        ]),
      },
      plot: {
        name: `drain-${kind}-${atOnce}`,
        title: `Trades a second from ${what}`,
        svg: bars(
          `Trades a second: ${what}`,
          ["trades/s"],
          readers.map((one) => ({
            name: titles[one.reader],
            values: [one.tradesPerSecond],
            label: count(one.tradesPerSecond),
          })),
        ),
      },
    };
  });
  return { tables: parts.map(({ table }) => table), plots: parts.map(({ plot }) => plot) };
}

const limit = (measured, round) => measured.find((one) => one.reader === "skip" && one.round === round).tradesPerSecond;
