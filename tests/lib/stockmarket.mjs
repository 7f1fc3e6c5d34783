// For tests of the whole system: starts it as a user does, in a folder and on
// ports of its own, and looks at it from outside.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const require = createRequire(join(root, "vendor-apps/stock-liveview/package.json"));
const { MongoClient } = require("mongodb");
const { WebSocket } = require("ws");

const portNames = readFileSync(join(root, "scripts/ports"), "utf8").match(/^[A-Z][A-Z0-9_]*\b/gm);
export const companies = readFileSync(join(root, "scripts/companies"), "utf8").match(/^[^#\n].*$/gm);

export function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Ports in a row, below those that the system gives to outgoing connections, none of them in use. */
async function freePorts(count) {
  for (;;) {
    const first = 20_100 + 20 * Math.floor(Math.random() * 40);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    if (!(await Promise.all(ports.map(isOpen))).includes(true)) return ports;
  }
}

/** Runs a program to its end. @returns {Promise<{status: number | null, output: string, seconds: number}>} */
export function run(program, args, { environment = process.env, limitMs = 60_000 } = {}) {
  const begin = performance.now();
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { cwd: root, env: environment, timeout: limitMs, maxBuffer: 1 << 26 },
      (error, stdout, stderr) =>
        resolve({
          status: error ? (typeof error.code === "number" ? error.code : null) : 0,
          output: stdout + stderr,
          seconds: (performance.now() - begin) / 1000,
        }),
    );
  });
}

/** One system in a folder of its own. It is not running until `make("up")`. */
export class Stockmarket {
  static async prepare(variables = {}) {
    const home = await mkdtemp(join(tmpdir(), "stockmarket end to end ü."));
    const [sparePort, ...ports] = await freePorts(portNames.length + 1);
    const byName = Object.fromEntries(portNames.map((name, index) => [name, ports[index]]));
    return new Stockmarket(home, byName, sparePort, variables);
  }

  constructor(home, ports, sparePort, variables) {
    this.home = home;
    /** By the name of its variable. @type {Record<string, number>} */
    this.ports = ports;
    /** For a program that is not part of the system. */
    this.sparePort = sparePort;
    this.environment = { ...process.env, ...ports, ...variables, STOCKMARKET_ROOT: root, STOCKMARKET_HOME: home };
    // A make that runs these tests is not to be taken for the one that they run.
    for (const name of ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"]) delete this.environment[name];
    // Takes the system away as soon as its input ends, be it because this process was killed. It has a
    // session of its own, where no signal meant for the tests reaches it.
    this.guard = spawn("sh", ["-c", 'cat; make --no-print-directory down; rm -rf "$STOCKMARKET_HOME"'], {
      cwd: root,
      env: this.environment,
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.guard.unref();
    this.guard.stdin.unref();
  }

  make(target, limitMs = 120_000) {
    return run("make", ["--no-print-directory", target], { environment: this.environment, limitMs });
  }

  /** Runs a program with this system's folder and ports in its environment. */
  run(program, args, variables = {}) {
    return run(program, args, { environment: { ...this.environment, ...variables } });
  }

  secretFile(name) {
    return join(this.home, "secrets", name);
  }

  secret(name) {
    return readFile(this.secretFile(name), "utf8");
  }

  /** The state of the parts, as the scripts see it, by name. @returns {Promise<Map<string, import("../../scripts/system.mjs").Part>>} */
  async parts() {
    const { output } = await this.run("node", [
      "--input-type=module",
      "--eval",
      'const { parts } = await import("./scripts/system.mjs"); console.log(JSON.stringify(await parts()));',
    ]);
    return new Map(JSON.parse(output).map((part) => [part.name, part]));
  }

  /** The ids of all processes that belong to this system. */
  async processes() {
    const found = [];
    for (const id of await readdir("/proc")) {
      if (!/^\d+$/.test(id)) continue;
      const environment = await readFile(`/proc/${id}/environ`, "utf8").catch(() => "");
      if (environment.split("\0").includes(`STOCKMARKET_SUPERVISED_HOME=${this.home}`)) found.push(Number(id));
    }
    return found;
  }

  async openPorts() {
    const open = [];
    for (const [name, port] of Object.entries(this.ports)) if (await isOpen(port)) open.push(`${name} ${port}`);
    return open;
  }

  async connectDatabase() {
    const client = new MongoClient(await this.secret("mongodb-liveview.url"));
    await client.connect();
    return { client, stocks: client.db("stockmarket").collection("stocks") };
  }

  /** The messages of type `prices` that reach a browser, from now on; `newest` holds the last one's averages. */
  watchPage() {
    const page = {
      messages: 0,
      newest: new Map(),
      /** @type {Map<string, number[]>} */ seen: new Map(),
      close: () => {},
    };
    let isClosed = false;
    const open = () => {
      const socket = new WebSocket(`ws://127.0.0.1:${this.ports.NGINX_PORT}/`);
      socket.on("message", (data) => {
        const { type, prices } = JSON.parse(String(data));
        if (type !== "prices") return;
        page.messages += 1;
        for (const { company, avgPrice } of prices) {
          if (page.newest.get(company) === avgPrice) continue;
          page.newest.set(company, avgPrice);
          page.seen.set(company, [...(page.seen.get(company) ?? []), avgPrice]);
        }
      });
      socket.on("error", () => {}); // "close" follows
      socket.on("close", () => isClosed || setTimeout(open, 200));
      page.close = () => {
        isClosed = true;
        socket.terminate();
      };
    };
    open();
    return page;
  }

  async remove() {
    this.guard.ref();
    this.guard.stdin.end();
    await once(this.guard, "exit");
  }
}
