// What grows with the number of companies?
import { count, mebibytes, number } from "../lib/format.mjs";
import { lines } from "../lib/plot.mjs";
import { medians, sum } from "../lib/statistics.mjs";
import { load } from "./cost.mjs";

export const title = "Growth with the number of companies";

const TOTAL_PER_SECOND = 3000;
const EACH_PER_SECOND = 10;
const MOST_CONSUMERS = 8;
const PARTS = ["broker", "publisher", "consumers", "members"];

export async function measure({ settings, programs, queues, progress }) {
  const rounds = [];
  for (let round = 1; round <= settings.rounds; round += 1) {
    for (const companies of settings.companies) {
      const consumers = Math.min(MOST_CONSUMERS, Math.ceil(companies / 3));
      for (const fixed of ["in all", "for each"]) {
        const intervalMs = Math.round(
          fixed === "in all" ? (companies * 1000) / TOTAL_PER_SECOND : 1000 / EACH_PER_SECOND,
        );
        const system = { name: "growth", publisher: programs.publisher, consumer: programs.consumer, consumers };
        const names = Array.from({ length: companies }, (_, index) => `S${String(index).padStart(3, "0")}`);
        const { parts } = await load(system, names, intervalMs, settings.seconds, queues);
        const cpu = sum(PARTS.map((part) => parts[part].cpuPercent));
        progress(`round ${round}: ${companies} companies, rate fixed ${fixed}: ${number(cpu)} % of a core`);
        rounds.push({ round, companies, consumers, fixed, tradesPerSecond: (companies * 1000) / intervalMs, parts });
      }
    }
  }
  return { seconds: settings.seconds, rounds };
}

export function render({ rounds }) {
  const measured = ["in all", "for each"].map((fixed) => {
    const own = rounds.filter((one) => one.fixed === fixed);
    const sizes = [...new Set(own.map(({ companies }) => companies))].map((companies) => {
      const same = own.filter((one) => one.companies === companies);
      const parts = Object.fromEntries(PARTS.map((part) => [part, medians(same.map(({ parts }) => parts[part]))]));
      return { ...same[0], parts, cpu: sum(PARTS.map((part) => parts[part].cpuPercent)) };
    });
    return { fixed, sizes };
  });
  return {
    tables: measured.map(({ fixed, sizes }) => ({
      title: `The same rate ${fixed === "in all" ? "in all companies together" : "for each company"}: percent of one core, and MiB`,
      columns: [
        "companies",
        "trades/s",
        "consumers",
        ...PARTS.map((part) => `${part} %`),
        "sum %",
        ...PARTS.map((part) => `${part} MiB`),
        "largest consumer MiB",
      ],
      rows: sizes.map((one) => [
        count(one.companies),
        count(one.tradesPerSecond),
        one.consumers,
        ...PARTS.map((part) => number(one.parts[part].cpuPercent)),
        number(one.cpu),
        ...PARTS.map((part) => mebibytes(one.parts[part].memoryBytes)),
        mebibytes(one.parts.consumers.largestBytes),
      ]),
    })),
    plots: [
      {
        name: "growth-companies",
        title: "Processor time by number of companies",
        svg: lines(
          "Percent of one core by number of companies",
          "companies",
          measured.map(({ fixed, sizes }) => ({
            name: `the same rate ${fixed === "in all" ? "in all" : "for each"}`,
            points: sizes.map(({ companies, cpu }) => [companies, cpu]),
          })),
        ),
      },
    ],
  };
}
