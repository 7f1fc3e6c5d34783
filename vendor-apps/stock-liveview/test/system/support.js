/**
 * Two live views as processes of their own behind the load balancer, as `make up` starts them.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
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

/** What goes wrong in a process is told with the test that fails. @type {import("node:child_process").StdioOptions} */
const STDIO = ["ignore", "inherit", "inherit"];

/**
 * The load balancer in front of whatever listens on these ports.
 * @param {readonly number[]} liveviewPorts
 * @param {Record<string, string>} [environment]
 * @param {number} [ownPort]
 */
export async function startLoadBalancer(liveviewPorts, environment = {}, ownPort) {
  const home = await mkdtemp(path.join(tmpdir(), "liveview-system-"));
  const port = ownPort ?? (await freePorts(1))[0];
  const url = `http://127.0.0.1:${port}`;
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
          NGINX_PORT: String(port),
          LIVEVIEWS: liveviewPorts.map((liveviewPort) => `127.0.0.1:${liveviewPort}`).join(" "),
          ...environment,
        },
        stdio: STDIO,
      }),
    () => eventually(() => isOk(`${url}/nginx-health`), "the load balancer lives"),
  );
  await nginx.start();
  return {
    nginx,
    port,
    url,
    socketUrl: `ws://127.0.0.1:${port}/`,
    home,
    async stop() {
      await nginx.stop();
      await rm(home, { recursive: true });
    },
  };
}

/**
 * @param {{url: string, name: string}} database
 * @param {Record<string, string>} [environment]  for the load balancer
 * @param {readonly Record<string, string>[]} [liveviewEnvironments]  for each live view; one with a database of its own
 *   need not become ready
 */
export async function startSystem(database, environment = {}, liveviewEnvironments = [{}, {}]) {
  const [nginxPort, ...liveviewPorts] = await freePorts(1 + liveviewEnvironments.length);
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
              ...liveviewEnvironments[index],
            },
            stdio: STDIO,
          }),
        () => {
          const question = "MONGODB_URL" in liveviewEnvironments[index] ? "healthz" : "readyz";
          return eventually(() => isOk(`http://127.0.0.1:${port}/${question}`), `live view ${index + 1} is ready`);
        },
      ),
  );
  const [balancer] = await Promise.all([
    startLoadBalancer(liveviewPorts, environment, nginxPort),
    ...liveviews.map((liveview) => liveview.start()),
  ]);

  return {
    ...balancer,
    liveviews,
    liveviewUrls: liveviewPorts.map((port) => `http://127.0.0.1:${port}`),
    async stop() {
      for (const liveview of liveviews) liveview.thaw();
      await Promise.all([balancer.stop(), ...liveviews.map((liveview) => liveview.stop())]);
    },
  };
}

/**
 * An NGINX of somebody else in front of ours.
 * @param {string} configuration  the inside of `server`
 */
export async function startProxy(configuration) {
  const home = await mkdtemp(path.join(tmpdir(), "liveview-proxy-"));
  const [port] = await freePorts(1);
  const lines = ["body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => {
    const directive = name === "body" ? "client_body_temp_path" : `${name}_temp_path`;
    return `${directive} ${name};`;
  });
  await writeFile(
    path.join(home, "nginx.conf"),
    `daemon off; pid nginx.pid; worker_processes 1; error_log stderr crit;
    events { worker_connections 256; }
    http {
      access_log off; ${lines.join(" ")}
      map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
      server { listen 127.0.0.1:${port}; ${configuration} }
    }`,
  );
  const proxy = new Process(
    () =>
      spawn("nginx", ["-e", "stderr", "-p", home, "-c", path.join(home, "nginx.conf")], {
        env: { ...process.env, PATH: `${path.join(ROOT, ".local/tools/bin")}:${process.env.PATH}:/usr/sbin` },
        stdio: STDIO,
      }),
    () => eventually(() => answers(`http://127.0.0.1:${port}/`), "the proxy answers"),
  );
  await proxy.start();
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      await proxy.stop();
      await rm(home, { recursive: true });
    },
  };
}

/** @param {string} url */
async function isOk(url) {
  return (await answers(url))?.ok ?? false;
}

/** @param {string} url */
async function answers(url) {
  try {
    return await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(1000) });
  } catch {
    return undefined;
  }
}
