// The parts that most questions need: queues, consumers, the servers' processes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./ports.mjs";
import { sum } from "./statistics.mjs";
import { Running, run, until } from "./processes.mjs";
import { usage } from "./proc.mjs";

const url = () => process.env.TEST_RABBITMQ_URL;
let names = 0;

/** A name for a database or queue that nothing else has. @param {string} what */
export const unique = (what) => `bench-${what}-${process.pid}-${(names += 1)}`;

export class Queues {
  #steps;

  /** @param {string} steps  the program that prepares, skips, counts and deletes */
  constructor(steps) {
    this.#steps = steps;
  }

  /** @param {string} queue @param {string} kind @param {number} trades */
  prepare(queue, kind, trades) {
    return run([this.#steps, "prepare", queue, kind, String(trades)]);
  }

  /** Drains it by looking at the kinds and sizes of frames alone. @param {string} queue @param {number} trades */
  async skip(queue, trades) {
    return JSON.parse(
      await run([this.#steps, "skip", queue, String(trades)], { timeout: limitSeconds(trades) * 1000 }),
    );
  }

  /** Waits until the publisher has declared it. @param {string} queue */
  exists(queue) {
    return until(() => run([this.#steps, "count", queue]), `queue ${queue} exists`, 120, 100);
  }

  /** @param {string[]} queues  also those that do not exist */
  remove(queues) {
    return run([this.#steps, "delete", ...queues]);
  }
}

/** How long draining may take. The slowest reader takes 15,000 a second where this was written. @param {number} trades */
export const limitSeconds = (trades) => 60 + trades / 2000;

/**
 * A consumer, ours or a peer's: all take the same variables.
 * @param {string} name
 * @param {import("./programs.mjs").Program} program
 * @param {string[]} queues
 * @param {string} database
 * @param {string} [company]  when the queue is not named after it
 */
export function consumer(name, program, queues, database, company) {
  return new Running(name, program.command, {
    RABBITMQ_URL: url(),
    RABBITMQ_QUEUE: queues.join(","),
    MONGODB_URL: process.env.TEST_MONGODB_URL,
    MONGODB_DB: database,
    HTTP_ADDRESS: "127.0.0.1:0",
    ...(company && { COMPANY: company }),
    ...program.environment,
  });
}

/**
 * @param {string} name
 * @param {import("./programs.mjs").Program} program
 * @param {string[]} companies
 * @param {number} intervalMs
 * @param {Record<string, string>} [environment]
 */
export async function publisher(name, program, companies, intervalMs, environment = {}) {
  return new Running(name, program.command, {
    RABBITMQ_URL: url(),
    STOCKS: companies.join(","),
    TICKER_INTERVAL: String(intervalMs),
    HTTP_ADDRESS: `127.0.0.1:${await freePort()}`,
    ...program.environment,
    ...environment,
  });
}

/** Each a part of the list, of nearly the same size. @template T @param {T[]} list @param {number} parts @returns {T[][]} */
export function split(list, parts) {
  return Array.from({ length: parts }, (_, part) => list.filter((_, index) => index % parts === part));
}

const pid = (server) => Number(readFileSync(join(process.env.TEST_SERVERS_HOME, "run", server), "utf8"));

/** What processes have used so far, by part. @param {Record<string, Running[]>} parts */
export function usages(parts) {
  const servers = { broker: [pid("rabbitmq")], members: ["mongo1", "mongo2", "mongo3"].map(pid) };
  const ours = Object.entries(parts).map(([part, processes]) => [part, processes.map((one) => one.pid)]);
  const all = Object.entries({ ...servers, ...Object.fromEntries(ours) });
  return Object.fromEntries(
    all.map(([part, pids]) => {
      const each = pids.map(usage);
      const total = (name) => sum(each.map((one) => one[name]));
      return [
        part,
        {
          cpuSeconds: total("cpuSeconds"),
          contextSwitches: total("contextSwitches"),
          memoryBytes: total("memoryBytes"),
          peakBytes: total("peakBytes"),
          largestBytes: Math.max(...each.map(({ memoryBytes }) => memoryBytes)),
        },
      ];
    }),
  );
}
