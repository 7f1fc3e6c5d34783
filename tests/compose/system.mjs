// The system in containers, for these tests. They run on the engine's host (its network namespace) and look at the page
// from outside.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setCompanies } from "../lib/topology.mjs";
import { eventually } from "../lib/waiting.mjs";

export const root = join(import.meta.dirname, "..", "..");
export const companies = ["AAPL", "MSFT", "TSLA"];
/** Companies that tests add. */
export const awkwardCompanies = ["BRK.B", "BRK-B", "^GSPC", "RDS/A"];
export const windowSize = 1000;

/** The engine's host: the only address that can be reached from outside. */
export const address = variable("TEST_ADDRESS");
export const pageUrl = `http://${address}:3000`;
export const outside = ["nsenter", `--net=${variable("TEST_OUTSIDE")}`];
export const outsideAddress = variable("TEST_OUTSIDE_ADDRESS");

function variable(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests are run by \`make test-compose\``);
  return value;
}

/** Runs a program to its end and returns its exit status and output, whether it succeeds or fails. */
export function attempt(program, args, { limitMs = 600_000, environment = {} } = {}) {
  return new Promise((resolve) => {
    const options = { cwd: root, timeout: limitMs, maxBuffer: 1 << 28, env: { ...process.env, ...environment } };
    execFile(program, args, options, (error, stdout, stderr) =>
      resolve({ status: error ? (typeof error.code === "number" ? error.code : 128) : 0, stdout, stderr }),
    );
  });
}

/** Runs a program that must succeed. @returns {Promise<string>} its standard output */
export async function run(program, args, options) {
  const { status, stdout, stderr } = await attempt(program, args, options);
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

export const docker = (...args) => run("docker", args);

/** Copies the project's tracked files, and adds awkward companies. @param {string} folder */
export async function copyWithAwkwardCompanies(folder) {
  await run("bash", ["-c", 'git ls-files -z | xargs -0 cp --parents --target-directory "$0"', folder]);
  await setCompanies(folder, [...companies, ...awkwardCompanies]);
  await run(join(folder, "nix/generate"), []);
}

export class System {
  /**
   * @param {string[]} files  beside compose.yml
   * @param {Record<string, string>} environment  of Compose
   * @param {string} folder  of compose.yml
   */
  constructor(files = [], environment = {}, folder = root) {
    this.options = ["compose.yml", ...files].flatMap((file) => ["--file", resolve(folder, file)]);
    this.environment = environment;
  }

  compose(...args) {
    return run("docker", ["compose", ...this.options, ...args], { environment: this.environment });
  }

  /** Starts the system as a user does. @returns {Promise<number>} seconds */
  async up(...options) {
    const begin = performance.now();
    await this.compose("up", "--detach", "--quiet-pull", ...options);
    return (performance.now() - begin) / 1000;
  }

  /** Removes the system with all its data and secrets; returns when containers, networks and volumes are gone. */
  remove() {
    return this.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5");
  }

  /** All containers by service, also those that have ended. */
  async containers() {
    const ids = (await docker("ps", "--all", "--quiet", "--no-trunc")).split("\n").filter(Boolean);
    if (ids.length === 0) return new Map();
    const all = JSON.parse(await docker("inspect", ...ids));
    return new Map(
      all
        .filter(({ Config }) => Config.Labels["com.docker.compose.oneoff"] !== "True")
        .map((container) => [container.Config.Labels["com.docker.compose.service"], container])
        .filter(([service]) => service),
    );
  }

  async container(service) {
    const container = (await this.containers()).get(service);
    if (!container) throw new Error(`there is no container of ${service}`);
    return container;
  }

  /** The running containers by service. */
  async running() {
    return new Map([...(await this.containers())].filter(([, { State }]) => State.Running));
  }

  /** The services that are not healthy, or not running although they should be. @returns {Promise<string[]>} */
  async unhealthy() {
    return [...(await this.containers())]
      .filter(([, { State, HostConfig }]) =>
        HostConfig.RestartPolicy.Name === "no"
          ? State.Running || State.ExitCode !== 0
          : !State.Running || State.Paused || State.Health?.Status !== "healthy",
      )
      .map(([service]) => service);
  }

  healthy(limitMs = 90_000) {
    let left;
    return eventually(
      "every health check passes",
      limitMs,
      async () => {
        left = await this.unhealthy();
        if (left.length > 0) throw new Error(`not healthy: ${left.join(", ")}`);
        return true;
      },
      500,
    );
  }

  /** The content of a secret's file in the volume of all secrets. */
  async secret(file) {
    const folder = (await docker("volume", "inspect", "--format", "{{ .Mountpoint }}", "stockmarket_secrets")).trim();
    return (await readFile(join(folder, file), "utf8")).trim();
  }

  async secrets() {
    const folder = (await docker("volume", "inspect", "--format", "{{ .Mountpoint }}", "stockmarket_secrets")).trim();
    const names = (await readdir(folder)).filter((name) => /\.(password|cookie|key)$/.test(name));
    return new Map(await Promise.all(names.map(async (name) => [name, await this.secret(name)])));
  }

  /** Runs `stock-consumer audit` in a new container with the consumer's secrets. */
  async audit() {
    const { status, stdout, stderr } = await attempt("docker", [
      ...["compose", ...this.options, "run", "--rm", "--no-deps", "--no-TTY", "consumer-msft", "audit"],
    ]);
    return new Audit(status, stdout + stderr);
  }

  /** The same in a running consumer's container: faster. */
  async quickAudit() {
    const consumers = [...(await this.running())].filter(
      ([service, { State }]) => service.startsWith("consumer-") && !State.Paused,
    );
    const { status, stdout, stderr } = await attempt("docker", [
      ...["exec", consumers[0][1].Id, "/bin/stock-consumer", "audit"],
    ]);
    return new Audit(status, stdout + stderr);
  }
}

/** The result of `stock-consumer audit`. */
export class Audit {
  constructor(status, output) {
    this.status = status;
    this.output = output;
    this.epochs = output
      .split("\n")
      .map((line) => line.trim().match(/^(\S+) +([A-Z0-9]{10,})((?: +\d+){6})$/))
      .filter(Boolean)
      .map(([, queue, epoch, numbers]) => {
        const [windows, trades, gaps, doubles, rejected, expired] = numbers.trim().split(/ +/).map(Number);
        return { queue, epoch, windows, trades, gaps, doubles, rejected, expired };
      });
  }

  total(what) {
    return this.epochs.reduce((sum, epoch) => sum + epoch[what], 0);
  }
}

/** A visitor outside with the page open, who also requests the page many times a second. */
export class Visitor {
  /** Every average from the page: company, price, when its window was closed, when the page told it. */
  averages = [];
  requests = 0;
  failures = [];
  /** The slowest answer since this was last set to 0, in ms. */
  slowest = 0;
  #process;

  constructor() {
    const [program, ...args] = [...outside, process.execPath, join(import.meta.dirname, "visitor.mjs"), pageUrl];
    this.#process = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: this.#process.stdout }).on("line", (line) => {
      const event = JSON.parse(line);
      if (event.type === "average") this.averages.push(event);
      else {
        this.requests += 1;
        this.slowest = Math.max(this.slowest, event.ms);
      }
      if (event.problem) this.failures.push(event);
    });
  }

  /** The first average of each company whose window was closed after `time`. */
  newAverages(time) {
    const found = new Map();
    for (const average of this.averages)
      if (average.closedAt > time && !found.has(average.company)) found.set(average.company, average);
    return found;
  }

  /** Waits for a new average of every company. @returns {Promise<number>} when the last one arrived, in ms since 1970 */
  everyCompany(time, limitMs, wanted = companies) {
    return eventually("new averages of every company are on the page", limitMs, () => {
      const found = this.newAverages(time);
      return (
        wanted.every((company) => found.has(company)) && Math.max(...wanted.map((company) => found.get(company).toldAt))
      );
    });
  }

  /** The longest time in which some company had no new average. @returns {number} ms */
  standstill(from, to) {
    return Math.max(
      ...companies.map((company) => {
        const times = this.averages
          .filter((average) => average.company === company && average.toldAt >= from && average.toldAt <= to)
          .map(({ toldAt }) => toldAt);
        const moments = [from, ...times, to];
        return Math.max(...moments.slice(1).map((moment, index) => moment - moments[index]));
      }),
    );
  }

  async leave() {
    if (this.#process.exitCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill();
    await ended;
  }
}
