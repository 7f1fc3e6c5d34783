#!/usr/bin/env node
/**
 * The command line: reads the configuration, starts the live view, stops it on a signal.
 */
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { ConfigError, readAddress, readConfig, VARIABLES } from "./src/config.js";
import { createLog, reason } from "./src/log.js";

/** sysexits(3): something in the configuration. */
const EX_CONFIG = 78;
const HEALTHCHECK_MS = 3000;

const command = process.argv.slice(2).join(" ");
switch (command) {
  case "":
    await run();
    break;
  case "healthcheck":
    await healthcheck("/readyz");
    break;
  case "healthcheck started":
    await healthcheck("/startedz");
    break;
  case "--help":
  case "-h":
    process.stdout.write(help());
    break;
  case "--version":
  case "-V":
    process.stdout.write(`stock-liveview ${version()}\n`);
    break;
  default:
    process.stderr.write(`stock-liveview: there is no command ${JSON.stringify(command)}\n\n${help()}`);
    process.exitCode = 64;
}

async function run() {
  const config = configuration();
  const log = createLog({ format: config.logFormat, level: config.logLevel });
  const { start } = await import("./src/server.js");
  /** @type {import("./src/server.js").Running} */
  let running;
  try {
    running = await start(config, log);
  } catch (error) {
    const isTaken = /** @type {NodeJS.ErrnoException} */ (error).code === "EADDRINUSE";
    log.error(isTaken ? "the port is taken: stop what uses it, or set PORT to another" : "cannot start", {
      host: config.host,
      port: config.port,
      reason: reason(error),
    });
    process.exit(1);
  }

  let isStopping = false;
  /** @param {string} signal */
  const onSignal = async (signal) => {
    if (isStopping) {
      log.warn("exiting at once", { signal });
      process.exit(1);
    }
    isStopping = true;
    log.info("stopping: telling browsers to move on", { signal });
    await running.stop();
    log.info("stopped");
    process.exit(0);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}

/** Asks the live view that was started with this environment. @param {string} path  of the question */
async function healthcheck(path) {
  const { host, port } = readAddress(process.env);
  try {
    /** @type {import("node:http").IncomingMessage} */
    const response = await new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(HEALTHCHECK_MS);
      get({ host, port, path, signal }, resolve).on("error", reject);
    });
    response.pipe(process.stdout);
    process.exitCode = response.statusCode === 200 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`no answer from ${host}:${port}: ${reason(error)}\n`);
    process.exitCode = 1;
  }
}

function configuration() {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map((problem) => `  ${problem}\n`).join("");
    process.stderr.write(`stock-liveview: the configuration is wrong:\n${problems}`);
    process.exit(EX_CONFIG);
  }
}

function version() {
  return JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8")).version;
}

function help() {
  const width = Math.max(...VARIABLES.map(({ name }) => name.length));
  const variables = VARIABLES.map(({ name, fallback, meaning }) => {
    const shown = fallback ? ` [${fallback}]` : "";
    return `  ${name.padEnd(width)}  ${meaning}${shown}\n`;
  });
  return `Serves a web page that shows every company's newest average as it is stored.

  stock-liveview                      serve the page until SIGTERM or SIGINT
  stock-liveview healthcheck          exit 0 if the live view started with this environment is ready, else 1
  stock-liveview healthcheck started  the same until it is ready for the first time; from then on exit 1 only
                                      if it does not answer: for an orchestrator that restarts what fails
  stock-liveview --help
  stock-liveview --version

Configuration, from the environment [default]:
${variables.join("")}`;
}
