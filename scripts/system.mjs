// The running system, for the scripts: the state of its parts, from process-compose, and the newest
// averages, as a browser gets them.
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const { STOCKMARKET_ROOT: root, STOCKMARKET_HOME: home, NGINX_PORT: port } = process.env;
const { WebSocket } = createRequire(join(root, "vendor-apps/stock-liveview/package.json"))("ws");

/** The symbols of the topology's companies. */
export const companies = readFileSync(join(root, "scripts/companies"), "utf8")
  .split("\n")
  .filter((line) => line && !line.startsWith("#"));

/** How long a company takes from one trade to the next: as the user or else the topology says. */
export const tickerIntervalMs = Number(
  process.env.TICKER_INTERVAL ||
    readFileSync(join(root, "process-compose.yaml"), "utf8").match(/\$\{TICKER_INTERVAL:-(\d+)\}/)?.[1],
);

export const page = `127.0.0.1:${port}`;

/** @typedef {{name: string, state: string, isReady: boolean, restarts: number, pid: number, age: string}} Part */

/** Every part of the system, sorted by name. Fails when process-compose does not answer. @returns {Promise<Part[]>} */
export async function parts() {
  // Relative, because the system limits the length of a socket's path.
  process.chdir(join(home, "run"));
  const { data } = await json({ socketPath: "process-compose.sock", path: "/processes", timeout: 5000 });
  return data.map(toPart).sort((a, b) => a.name.localeCompare(b.name));
}

function toPart({ name, status, is_ready, has_ready_probe, exit_code, restarts, pid, system_time }) {
  const isDone = status === "Completed" && exit_code === 0;
  const isRunning = status === "Running";
  const hasToEnd = name.endsWith("-init");
  const isReady = isDone || (isRunning && !hasToEnd && (!has_ready_probe || is_ready === "Ready"));
  const state = isDone
    ? "done"
    : isReady
      ? "ready"
      : isRunning
        ? hasToEnd
          ? "running"
          : "not ready"
        : status.toLowerCase();
  return { name, state, isReady, restarts, pid, age: system_time };
}

function json(options) {
  return new Promise((resolve, reject) => {
    const request = get(options, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => (body += chunk));
      response.on("end", () => {
        try {
          resolve(JSON.parse(body));
        } catch (error) {
          reject(error);
        }
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", reject);
  });
}

/**
 * Calls `onPrices` with the prices in every message that reaches a browser at the page. Ends with the connection.
 * @param {(prices: {company: string, avgPrice: number}[]) => void} onPrices
 * @returns {WebSocket}
 */
export function watchPage(onPrices) {
  const socket = new WebSocket(`ws://${page}/`, { handshakeTimeout: 2000 });
  socket.on("message", (data) => {
    const message = JSON.parse(String(data));
    if (message.type === "prices") onPrices(message.prices);
  });
  socket.on("error", () => {}); // "close" follows
  return socket;
}

/** The newest average of every company on the page, or what is there after `limitMs`. @returns {Promise<Map<string, number>>} */
export function newestAverages(limitMs) {
  return new Promise((resolve) => {
    const averages = new Map();
    const finish = () => {
      clearTimeout(timer);
      socket.terminate();
      resolve(averages);
    };
    const timer = setTimeout(finish, limitMs);
    const socket = watchPage((prices) => {
      for (const { company, avgPrice } of prices) averages.set(company, avgPrice);
      if (companies.every((company) => averages.has(company))) finish();
    });
    socket.on("close", finish);
  });
}
