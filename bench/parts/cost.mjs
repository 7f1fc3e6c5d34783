// What does the whole system cost at its usual load?
import { setTimeout as sleep } from "node:timers/promises";
import { Averages } from "../lib/averages.mjs";
import { count, mebibytes, number } from "../lib/format.mjs";
import { bars } from "../lib/plot.mjs";
import { during } from "../lib/processes.mjs";
import { originalPublisher, peer } from "../lib/programs.mjs";
import { median, medians, sum } from "../lib/statistics.mjs";
import { consumer, publisher, split, unique, usages } from "../lib/system.mjs";

export const title = "Cost at the usual load";

const COMPANIES = ["MSFT", "TSLA", "AAPL"];
const INTERVAL_MS = 1;
/** What a system does only once is over by then. */
const WARM_UP_MS = 5000;
const PARTS = ["broker", "publisher", "consumers", "members"];

export async function measure({ settings, programs, queues, progress }) {
  const consumers = Number(process.env.CONSUMERS || COMPANIES.length);
  const systems = [
    { name: "ours", publisher: programs.publisher, consumer: programs.consumer, consumers },
    { name: "naive", publisher: await originalPublisher(), consumer: await peer("node"), consumers: COMPANIES.length },
  ];
  if (settings.baseline && settings.baselinePublisher) {
    systems.push({
      name: "before",
      publisher: { command: [settings.baselinePublisher] },
      consumer: { command: [settings.baseline] },
      consumers: COMPANIES.length,
    });
  }
  const rounds = [];
  for (let round = 1; round <= settings.rounds; round += 1) {
    for (const system of systems.filter((one) => one.consumer)) {
      const measured = await load(system, COMPANIES, INTERVAL_MS, settings.seconds, queues);
      const cpu = sum(Object.values(measured.parts).map((part) => part.cpuPercent));
      progress(
        `round ${round}: ${system.name.padEnd(6)} ${number(cpu)} % of a core, ${count(measured.tradesPerSecond)} trades/s`,
      );
      rounds.push({ round, system: system.name, ...measured });
    }
  }
  return {
    companies: COMPANIES.length,
    tradesPerSecond: (COMPANIES.length * 1000) / INTERVAL_MS,
    seconds: settings.seconds,
    rounds,
  };
}

/** Runs a publisher and its consumers, and says what each part used meanwhile. */
export async function load(system, companies, intervalMs, seconds, queues) {
  const database = new Averages(unique(system.name));
  const running = [];
  try {
    const seen = new Map(companies.map((company) => [company, []]));
    await database.watch(({ company }, at) => seen.get(company)?.push(at));
    const source = await publisher("publisher", system.publisher, companies, intervalMs);
    running.push(source);
    // In the order in which it declares them; the last ones may take a while.
    for (const company of companies)
      await during(running, queues.exists(company), "the publisher declares its queues", 300);
    const readers = split(companies, system.consumers).map((group) =>
      consumer("consumer", system.consumer, group, database.name),
    );
    running.push(...readers);
    await during(running, sleep(WARM_UP_MS), "warming up", 60);
    const parts = { publisher: [source], consumers: readers };
    const [begin, before] = [performance.now(), usages(parts)];
    await during(running, sleep(seconds * 1000), "the load", seconds + 60);
    const [end, after] = [performance.now(), usages(parts)];
    const elapsed = (end - begin) / 1000;
    // Windows come whole: the rate is what lies between the first and the last of each company.
    const rates = [...seen.values()].flatMap((times) => {
      const during = times.filter((at) => at >= begin && at <= end);
      return during.length > 1 ? [((during.length - 1) * 1e6) / (during.at(-1) - during[0])] : [];
    });
    return {
      tradesPerSecond: rates.length === companies.length ? sum(rates) : NaN,
      parts: Object.fromEntries(
        PARTS.map((part) => [
          part,
          {
            cpuPercent: ((after[part].cpuSeconds - before[part].cpuSeconds) / elapsed) * 100,
            contextSwitchesPerSecond: (after[part].contextSwitches - before[part].contextSwitches) / elapsed,
            memoryBytes: after[part].memoryBytes,
            largestBytes: after[part].largestBytes,
          },
        ]),
      ),
    };
  } finally {
    await Promise.all(running.map((one) => one.stop()));
    await queues.remove(companies);
    await database.close();
  }
}

const TITLES = {
  ours: "ours",
  naive: "naive: the original publisher's stand-in, Node consumers",
  before: "ours before",
};

export function render({ rounds, companies, tradesPerSecond, seconds }) {
  const systems = [...new Set(rounds.map(({ system }) => system))];
  const totals = (system) =>
    rounds.filter((one) => one.system === system).map(({ parts }) => sum(PARTS.map((part) => parts[part].cpuPercent)));
  const of = (system) => {
    const own = rounds.filter((one) => one.system === system);
    return {
      parts: Object.fromEntries(PARTS.map((part) => [part, medians(own.map(({ parts }) => parts[part]))])),
      rate: median(own.map((one) => one.tradesPerSecond)),
      cpu: median(totals(system)),
    };
  };
  const ratio = (system) => median(totals("ours").map((value, round) => value / totals(system)[round]));
  const all = Object.fromEntries(systems.map((system) => [system, of(system)]));
  const memory = (system) => sum(PARTS.map((part) => all[system].parts[part].memoryBytes));
  const switches = (system) => sum(PARTS.map((part) => all[system].parts[part].contextSwitchesPerSecond));
  return {
    tables: [
      {
        title: `Processor time in percent of one core: ${companies} companies, ${count(tradesPerSecond)} trades/s in all, ${seconds} s`,
        columns: ["", ...PARTS, "sum", "ours is", "trades/s", "µs for a trade", "context switches/s", "memory, MiB"],
        rows: systems.map((system) => [
          TITLES[system],
          ...PARTS.map((part) => number(all[system].parts[part].cpuPercent)),
          `**${number(all[system].cpu)}**`,
          system === "ours" ? "" : `${number(ratio(system))} of it`,
          count(all[system].rate),
          number((all[system].cpu * 1e4) / all[system].rate),
          count(switches(system)),
          mebibytes(memory(system)),
        ]),
      },
    ],
    plots: [
      {
        name: "cost",
        title: "Processor time at the usual load",
        svg: bars(
          "Percent of one core at the usual load",
          PARTS,
          systems.map((system) => ({
            name: system,
            values: PARTS.map((part) => all[system].parts[part].cpuPercent),
            label: `${number(all[system].cpu)} %`,
          })),
        ),
      },
    ],
  };
}
