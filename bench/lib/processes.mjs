// The processes that are measured. None outlives the benchmark.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { tree, usage } from "./proc.mjs";

const logs = join(process.env.TEST_SERVERS_HOME ?? "/tmp", "logs");
let started = 0;

/** Ends whatever this process started, also what a start that failed halfway left behind. */
export function endAll() {
  for (const pid of tree(process.pid).slice(1)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

process.on("exit", endAll);
for (const [signal, status] of /** @type {const} */ ([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
])) {
  process.on(signal, () => process.exit(status));
}

/** A process that runs until it is stopped. */
export class Running {
  #child;
  #log;

  /**
   * @param {string} name
   * @param {string[]} command
   * @param {Record<string, string>} environment
   */
  constructor(name, [program, ...parameters], environment) {
    this.name = name;
    this.#log = join(logs, `bench-${(started += 1)}-${name.replace(/\W+/g, "-")}.log`);
    // What a program logs costs it the same, but nothing is stored of what is no error.
    const log = openSync(this.#log, "w");
    const isLoud = environment.BENCH_DROP_LOG === "1";
    this.#child = spawn(program, parameters, {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "ignore", isLoud ? "ignore" : log],
    });
    closeSync(log);
    this.failure = new Promise((_, reject) => {
      this.#child.on("error", reject);
      this.#child.on("exit", (status, signal) => {
        const end = readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-8).join("\n");
        reject(new Error(`${name} ended with ${status ?? signal}\n${end}`));
      });
    });
    // Told to whoever waits for something with `during`.
    this.failure.catch(() => {});
  }

  get pid() {
    return this.#child.pid;
  }

  usage() {
    return usage(this.pid);
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/**
 * Waits for something that processes do; fails as soon as one of them ends, or after the limit.
 * @template T
 * @param {Running[]} processes
 * @param {Promise<T>} promise
 * @param {string} what
 * @param {number} limitSeconds
 * @returns {Promise<T>}
 */
export async function during(processes, promise, what, limitSeconds) {
  const controller = new AbortController();
  const late = sleep(limitSeconds * 1000, undefined, { signal: controller.signal }).then(
    () => Promise.reject(new Error(`${what}: not within ${limitSeconds} s`)),
    () => new Promise(() => {}),
  );
  try {
    return await Promise.race([promise, late, ...processes.map(({ failure }) => failure)]);
  } finally {
    controller.abort();
  }
}

/** Waits until a question is answered without an error. @param {() => Promise<any>} ask @param {string} what */
export async function until(ask, what, limitSeconds = 60, pauseMs = 20) {
  for (const deadline = performance.now() + limitSeconds * 1000; ;) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > deadline) throw new Error(`${what}: not within ${limitSeconds} s`, { cause: error });
    }
    await sleep(pauseMs);
  }
}

/** Whether an HTTP server answers with 2xx; fails otherwise. @param {string} url */
export async function isOk(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2000) });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  return answer.text();
}

const execute = promisify(execFile);

/** Runs a program to its end. @returns {Promise<string>} what it prints */
export async function run([program, ...parameters], options = {}) {
  const { stdout } = await execute(program, parameters, { maxBuffer: 1 << 26, ...options });
  return stdout.trim();
}
