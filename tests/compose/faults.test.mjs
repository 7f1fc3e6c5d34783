// Containers are killed, stopped, frozen and restarted while trades flow. Each time the system recovers by itself, no
// trade is lost or counted twice, and the page is served as long as NGINX and one live view run. A part of the plan runs
// by default; FULL=1 runs all of it.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../lib/waiting.mjs";
import { addresses, primary } from "./database.mjs";
import { companies, docker, System, Visitor } from "./system.mjs";

const system = new System();
/** @type {Visitor} */
let visitor;

/** How long a part stays stopped or frozen: longer than the election of a primary or the switch to a standby takes. */
const absenceMs = 5000;
const recoveryLimitMs = 60_000;

// Each takes a service and returns when its container could run again, in ms since 1970.
const faults = {
  // Not through the engine: it does not restart a container that it was told to kill.
  async killed(service) {
    const { State } = await system.container(service);
    const at = Date.now();
    process.kill(State.Pid, "SIGKILL");
    await eventually(`${service} is started again`, 30_000, async () => {
      const now = (await system.container(service)).State;
      return now.Running && now.Pid !== State.Pid;
    });
    return at;
  },
  async stopped(service) {
    await system.compose("stop", service);
    await sleep(absenceMs);
    const at = Date.now();
    // Compose would start its dependencies too.
    await docker("start", (await system.container(service)).Id);
    return at;
  },
  async frozen(service) {
    const { Id } = await system.container(service);
    await docker("pause", Id);
    await sleep(absenceMs);
    const at = Date.now();
    await docker("unpause", Id);
    return at;
  },
  async restarted(service) {
    const at = Date.now();
    await system.compose("restart", "--no-deps", service);
    return at;
  },
};

// A part, its service, the faults of every run, and those of FULL=1 only. With FULL=1 one part of each kind has every
// fault; the others of its kind are the same image with the same settings, and have one. Without it each kind of part
// has the faults that hit it hardest.
const plan = [
  ["RabbitMQ", () => "rabbitmq", ["killed", "frozen"], ["stopped", "restarted"]],
  ["the replica set's primary", () => primaryService(), ["killed", "frozen"], ["stopped", "restarted"]],
  ["a secondary", () => secondaryService(0), ["stopped"], ["killed", "frozen", "restarted"]],
  ["the other secondary", () => secondaryService(1), [], ["killed"]],
  ["the publisher", () => "publisher", ["killed", "restarted"], ["stopped", "frozen"]],
  ["MSFT's first consumer", () => "consumer-msft", ["killed", "frozen"], ["stopped", "restarted"]],
  ["MSFT's second consumer", () => "consumer-msft-2", ["killed"], ["stopped", "frozen", "restarted"]],
  ["TSLA's first consumer", () => "consumer-tsla", [], ["killed"]],
  ["TSLA's second consumer", () => "consumer-tsla-2", [], ["killed"]],
  ["AAPL's first consumer", () => "consumer-aapl", [], ["frozen"]],
  ["AAPL's second consumer", () => "consumer-aapl-2", [], ["frozen"]],
  ["the first live view", () => "liveview1", ["killed", "frozen"], ["stopped", "restarted"]],
  ["the second live view", () => "liveview2", [], ["frozen"]],
  ["NGINX", () => "nginx", ["restarted"], ["killed", "stopped", "frozen"]],
];
const isFull = process.env.FULL === "1";
const runs = plan.flatMap(([name, find, always, full]) =>
  [...always, ...(isFull ? full : [])].map((fault) => ({ name, find, fault })),
);
const planned = plan.reduce((sum, [, , always, full]) => sum + always.length + full.length, 0);
const extent = `${runs.length} of ${planned} faults${isFull ? "" : "; FULL=1 runs all"}`;

/** While NGINX does not run, nobody serves the page. */
const servesAlone = (service) => service === "nginx";

async function primaryService() {
  return (await primary(system)).service;
}

async function secondaryService(index) {
  const first = await primaryService();
  return ["mongo1", "mongo2", "mongo3"].filter((name) => name !== first)[index];
}

/** @type {{name: string, fault: string, recovery: number, standstill: number, lost: number, doubled: number, requests: number, failed: number}[]} */
const rows = [];

function table() {
  const heads = ["fault", "recovered, s", "stood still, s", "trades lost", "doubled", "HTTP requests", "failed"];
  const lines = rows.map((row) => [
    `${row.name}: ${row.fault}`,
    ...[row.recovery, row.standstill].map((ms) => (ms / 1000).toFixed(1)),
    ...[row.lost, row.doubled, row.requests, row.failed].map(String),
  ]);
  const widths = heads.map((head, column) => Math.max(head.length, ...lines.map((line) => line[column].length)));
  const print = (line) =>
    line.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join("  ");
  return `\n${extent}\n\n${[heads, ...lines].map(print).join("\n")}\n
recovered: from when the part could run again until the page had a new average of every company and every health check passed
stood still: the longest time in which some company had no new average on the page\n`;
}

describe(`under load: ${extent}`, () => {
  before(async () => {
    await system.remove();
    const begin = Date.now();
    await system.up();
    visitor = new Visitor();
    await visitor.everyCompany(begin, 180_000);
    await system.healthy();
  });
  after(async () => {
    await visitor?.leave();
    await writeFile(process.env.TEST_TABLE, table());
    await system.remove();
  });

  for (const { name, find, fault } of runs) {
    test(`${name} is ${fault}: nothing is lost`, async () => {
      const service = await find();
      const begin = Date.now();
      const [firstRequest, firstFailure] = [visitor.requests, visitor.failures.length];

      const givenBack = await faults[fault](service);
      const [averages] = await Promise.all([
        visitor.everyCompany(givenBack, recoveryLimitMs),
        system.healthy(recoveryLimitMs),
      ]);
      const recovered = Math.max(averages, Date.now());

      const audit = await system.quickAudit();
      const failures = visitor.failures.slice(firstFailure);
      const before = rows.at(-1) ?? { allLost: 0, allDoubled: 0 };
      const [allLost, allDoubled] = [audit.total("gaps"), audit.total("doubles")];
      rows.push({
        name,
        fault,
        recovery: recovered - givenBack,
        standstill: visitor.standstill(begin, recovered),
        lost: allLost - before.allLost,
        doubled: allDoubled - before.allDoubled,
        allLost,
        allDoubled,
        requests: visitor.requests - firstRequest,
        failed: failures.length,
      });
      assert.equal(audit.status, 0, audit.output);
      assert.ok(audit.epochs.length > 0, audit.output);
      if (!servesAlone(service)) assert.deepEqual(failures, [], `while ${service} was ${fault}`);
    });
  }

  test("every trade that the broker confirmed is counted", async () => {
    const host = addresses(await system.container("publisher"))[0];
    const metrics = await (await fetch(`http://${host}:9100/metrics`)).text();
    const confirmed = [...metrics.matchAll(/^stock_publisher_trades_confirmed_total\{company="(\w+)"\} (\S+)$/gm)];
    assert.deepEqual(confirmed.map(([, company]) => company).sort(), companies);
    await eventually("their windows are stored", 60_000, async () => {
      const audit = await system.audit();
      assert.equal(audit.status, 0, audit.output);
      // The sequences of an epoch count from 0 without gaps, so an equal number of trades means the same trades.
      return confirmed.every(([, company, trades]) =>
        audit.epochs.some((epoch) => epoch.queue === company && epoch.trades >= Number(trades)),
      );
    });
  });
});
