// Exports metrics of each member of the replica set to Prometheus. Each request to /metrics asks all members.
//
//   MONGODB_URL_FILE  file with the replica set's connection string; its user has the role clusterMonitor
//   LIVEVIEW          folder of the live view; this script uses its packages
//
// With the argument healthcheck: fails if the running exporter does not answer.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const port = 9216;
const limitMs = 1000;

if (process.argv[2] === "healthcheck") {
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(2000) });
  process.exit(answer.ok ? 0 : 1);
}

const require = createRequire(join(process.env.LIVEVIEW, "package.json"));
const { MongoClient } = require("mongodb");
const { Gauge, Registry } = require("prom-client");

const url = readFileSync(process.env.MONGODB_URL_FILE, "utf8").trim();
const [, login, hosts] = /^(mongodb:\/\/[^@]*@)([^/]*)\//.exec(url);

// Asks each member directly: other members' view of it may be out of date.
const members = hosts.split(",").map((host) => ({
  name: host.split(":")[0],
  admin: new MongoClient(`${login}${host}/?authSource=admin`, {
    directConnection: true,
    maxPoolSize: 2,
    serverSelectionTimeoutMS: limitMs,
    connectTimeoutMS: limitMs,
    socketTimeoutMS: limitMs,
  }).db("admin"),
}));

const registry = new Registry();
const gauge = (name, help, ...labels) =>
  new Gauge({
    name: `mongodb_${name}`,
    help,
    labelNames: ["member", ...labels],
    registers: [registry],
  });
const gauges = {
  up: gauge("up", "1 if the member answers"),
  state: gauge("state", "MongoDB's number for the member's state: 1 primary, 2 secondary; 0 if it does not answer"),
  term: gauge("term", "Number of elections that the member knows of"),
  lag: gauge("lag_seconds", "How far the member's data is behind the primary's"),
  connections: gauge("connections", "Clients connected to the member"),
  operations: gauge("operations", "Operations since the member started", "operation"),
};

/** @returns the member's own status, or undefined if it does not answer in time */
async function ask({ name, admin }) {
  try {
    const [status, server] = await Promise.all([
      admin.command({ replSetGetStatus: 1 }),
      admin.command({ serverStatus: 1, metrics: 0, wiredTiger: 0, tcmalloc: 0, locks: 0 }),
    ]);
    const self = status.members.find((member) => member.self);
    return { name, state: status.myState, term: Number(status.term), writtenAt: self.optimeDate, server };
  } catch {
    return undefined;
  }
}

async function collect() {
  const answers = (await Promise.all(members.map(ask))).filter(Boolean);
  registry.resetMetrics();
  for (const { name: member } of members) {
    gauges.up.set({ member }, 0);
    gauges.state.set({ member }, 0);
  }
  const newest = Math.max(...answers.map(({ writtenAt }) => writtenAt));
  for (const { name: member, state, term, writtenAt, server } of answers) {
    gauges.up.set({ member }, 1);
    gauges.state.set({ member }, state);
    gauges.term.set({ member }, term);
    gauges.lag.set({ member }, (newest - writtenAt) / 1000);
    gauges.connections.set({ member }, server.connections.current);
    for (const [operation, count] of Object.entries(server.opcounters)) {
      if (typeof count === "number") gauges.operations.set({ member, operation }, count);
    }
  }
  return registry.metrics();
}

async function answer(request, response) {
  switch (request.url) {
    case "/metrics":
      response.setHeader("content-type", registry.contentType).end(await collect());
      break;
    case "/healthz":
      response.end("ok\n");
      break;
    default:
      response.writeHead(404).end();
  }
}

createServer(answer).listen(port);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
