/**
 * Two live views as processes of their own behind the load balancer, as `make up` starts them.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { eventually, freePorts } from "../support.js";

const PACKAGE = path.join(import.meta.dirname, "..", "..");
const ROOT = path.join(PACKAGE, "..", "..");

/** A process that can be lost in every way. */
class Process {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #child;
  #launch;
  #awaitStart;

  /** @param {() => import("node:child_process").ChildProcess} launch @param {() => Promise<unknown>} awaitStart */
  constructor(launch, awaitStart) {
    this.#launch = launch;
    this.#awaitStart = awaitStart;
  }

  async start() {
    this.#child = this.#launch();
    await once(this.#child, "spawn");
    await this.#awaitStart();
  }

  get isRunning() {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal = "SIGTERM") {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  freeze() {
    this.#child?.kill("SIGSTOP");
  }

  thaw() {
    this.#child?.kill("SIGCONT");
  }
}

/**
 * @param {{url: string, name: string}} database
 * @param {Record<string, string>} [environment]  for the load balancer
 */
export async function startSystem(database, environment = {}) {
  const home = await mkdtemp(path.join(tmpdir(), "liveview-system-"));
  const ports = await freePorts(3);
  const [nginxPort, ...liveviewPorts] = ports;
  // What goes wrong in them is told with the test that fails.
  const stdio = /** @type {import("node:child_process").StdioOptions} */ (["ignore", "inherit", "inherit"]);

  const liveviews = liveviewPorts.map(
    (port, index) =>
      new Process(
        () =>
          spawn(process.execPath, [path.join(PACKAGE, "app.js")], {
            env: {
              ...process.env,
              MONGODB_URL: database.url,
              MONGODB_DB: database.name,
              HOST: "127.0.0.1",
              PORT: String(port),
              LIVEVIEW_NAME: `liveview-${index + 1}`,
              LOG_LEVEL: "error",
            },
            stdio,
          }),
        () => eventually(() => isOk(`http://127.0.0.1:${port}/readyz`), `live view ${index + 1} is ready`),
      ),
  );
  const nginx = new Process(
    () =>
      spawn(path.join(ROOT, "nginx", "start-local"), {
        env: {
          ...process.env,
          PATH: `${path.join(ROOT, ".local/tools/bin")}:${process.env.PATH}`,
          NGINX_HOME: home,
          // It has much to say of live views that are lost on purpose.
          NGINX_ERROR_LOG: "logs/error.log",
          NGINX_HOST: "127.0.0.1",
          NGINX_PORT: String(nginxPort),
          LIVEVIEWS: liveviewPorts.map((port) => `127.0.0.1:${port}`).join(" "),
          ...environment,
        },
        stdio,
      }),
    () => eventually(() => isOk(`http://127.0.0.1:${nginxPort}/nginx-health`), "the load balancer lives"),
  );
  await Promise.all([...liveviews, nginx].map((process) => process.start()));

  return {
    liveviews,
    nginx,
    url: `http://127.0.0.1:${nginxPort}`,
    socketUrl: `ws://127.0.0.1:${nginxPort}/`,
    liveviewUrls: liveviewPorts.map((port) => `http://127.0.0.1:${port}`),
    async stop() {
      for (const liveview of liveviews) liveview.thaw();
      await Promise.all([...liveviews, nginx].map((process) => process.stop()));
      await rm(home, { recursive: true });
    },
  };
}

/** @param {string} url */
async function isOk(url) {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1000) })).ok;
  } catch {
    return false;
  }
}
