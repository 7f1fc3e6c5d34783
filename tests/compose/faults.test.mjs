// Every container is killed, stopped, frozen and restarted while trades flow. Each time the system recovers by itself,
// no trade is lost or counted twice, and the page is served as long as the load balancer and one live view are left.
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

/** How long a part stays stopped or frozen: longer than it takes to replace a lost primary or consumer. */
const absenceMs = 5000;
const recoveryLimitMs = 60_000;

// Each does its work on a container's service, and returns when the part was given back, ms since 1970.
const faults = {
  // As a crash does it, and not through the engine, which would not restart what it was told to kill.
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
    // Only this one: what it depends on runs.
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
const every = Object.keys(faults);

// One part of each kind meets with every fault. Its like are the same image with the same settings: they meet with one.
const plan = [
  ["RabbitMQ", () => "rabbitmq", every],
  ["the replica set's primary", async () => (await primary(system)).service, every],
  ["a secondary", async () => otherThan((await primary(system)).service, 0), every],
  ["the other secondary", async () => otherThan((await primary(system)).service, 1), ["killed"]],
  ["the publisher", () => "publisher", every],
  ["MSFT's first consumer", () => "consumer-msft", every],
  ["MSFT's second consumer", () => "consumer-msft-2", every],
  ["TSLA's first consumer", () => "consumer-tsla", ["killed"]],
  ["TSLA's second consumer", () => "consumer-tsla-2", ["killed"]],
  ["AAPL's first consumer", () => "consumer-aapl", ["frozen"]],
  ["AAPL's second consumer", () => "consumer-aapl-2", ["frozen"]],
  ["the first live view", () => "liveview1", every],
  ["the second live view", () => "liveview2", ["frozen"]],
  ["NGINX", () => "nginx", every],
];
const isOnlyDoor = (service) => service === "nginx";

const otherThan = (member, index) => ["mongo1", "mongo2", "mongo3"].filter((name) => name !== member)[index];

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
  return `\n${[heads, ...lines].map(print).join("\n")}\n
recovered: every company has a new average on the page, and every health check passes, since the part was given back
stood still: the longest time in which some company had no new average on the page\n`;
}

describe("under load", () => {
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

  for (const [name, find, itsFaults] of plan) {
    for (const fault of itsFaults) {
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
        if (!isOnlyDoor(service)) assert.deepEqual(failures, [], `while ${service} was ${fault}`);
      });
    }
  }

  test("every trade that the broker confirmed is counted", async () => {
    const host = addresses(await system.container("publisher"))[0];
    const metrics = await (await fetch(`http://${host}:9100/metrics`)).text();
    const confirmed = [...metrics.matchAll(/^stock_publisher_trades_confirmed_total\{company="(\w+)"\} (\S+)$/gm)];
    assert.deepEqual(confirmed.map(([, company]) => company).sort(), companies);
    await eventually("the windows that they are in are full", 60_000, async () => {
      const audit = await system.audit();
      assert.equal(audit.status, 0, audit.output);
      // Sequences count from 0 in the publisher's newest epoch, without a gap: so as many are the same ones.
      return confirmed.every(([, company, trades]) =>
        audit.epochs.some((epoch) => epoch.queue === company && epoch.trades >= Number(trades)),
      );
    });
  });
});
