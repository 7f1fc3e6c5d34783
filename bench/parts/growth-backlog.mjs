// Does a trade of a long backlog cost more than one of a short backlog?
import { count, mebibytes, number } from "../lib/format.mjs";
import { lines } from "../lib/plot.mjs";
import { medians } from "../lib/statistics.mjs";
import { drain } from "./drain.mjs";

export const title = "Growth with the backlog";

export async function measure({ settings, programs, queues, progress }) {
  const rounds = [];
  for (let round = 1; round <= settings.rounds; round += 1) {
    for (const trades of settings.backlogs) {
      const measured = await drain({ program: programs.consumer, kind: "quorum", atOnce: 1, trades, queues });
      progress(`round ${round}: ${count(trades)} trades: ${count(measured.tradesPerSecond)}/s`);
      rounds.push({ trades, ...measured });
    }
  }
  return { rounds };
}

export function render({ rounds }) {
  const sizes = [...new Set(rounds.map(({ trades }) => trades))].map((trades) =>
    medians(rounds.filter((one) => one.trades === trades)),
  );
  return {
    tables: [
      {
        title: "stock-consumer on a quorum queue",
        columns: ["trades in the queue", "trades/s", "µs for a trade", "context switches for a window", "peak, MiB"],
        rows: sizes.map((one) => [
          count(one.trades),
          count(one.tradesPerSecond),
          number(one.cpuMicrosecondsPerTrade),
          number(one.contextSwitchesPerWindow),
          mebibytes(one.peakBytes),
        ]),
      },
    ],
    plots: [
      {
        name: "growth-backlog",
        title: "Processor time and memory by backlog",
        svg: lines("Processor time and memory of the consumer by backlog", "trades in the queue", [
          {
            name: "hundredths of a µs for a trade",
            points: sizes.map((one) => [one.trades, one.cpuMicrosecondsPerTrade * 100]),
          },
          { name: "peak, MiB", points: sizes.map((one) => [one.trades, one.peakBytes / 2 ** 20]) },
        ]),
      },
    ],
  };
}
