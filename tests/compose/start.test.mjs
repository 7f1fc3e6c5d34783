// The system comes up from nothing, stores correct averages, shows them, and keeps them through restarts and interrupted
// first starts.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { eventually } from "../lib/waiting.mjs";
import { showsEveryCompany } from "./browser.mjs";
import { withDatabase } from "./database.mjs";
import {
  attempt,
  awkwardCompanies,
  companies,
  copyWithAwkwardCompanies,
  root,
  System,
  Visitor,
  windowSize,
} from "./system.mjs";

const system = new System();

/** Starts a system and waits for a new average of every company on the page. @returns {Promise<number>} seconds */
async function upToAverages(limitMs, started = system, wanted = companies) {
  const begin = Date.now();
  const visitor = new Visitor();
  try {
    const [last] = await Promise.all([visitor.everyCompany(begin, limitMs, wanted), started.up()]);
    return (last - begin) / 1000;
  } finally {
    await visitor.leave();
  }
}

describe("the system in containers", () => {
  before(() => system.remove());
  after(() => system.remove());

  test("Compose reads compose.yml without a warning", async () => {
    const { status, stderr } = await attempt("docker", ["compose", "config", "--quiet"]);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, "");
  });

  test("comes up from nothing", async (t) => {
    const seconds = await upToAverages(180_000);
    t.diagnostic(`averages of every company on the page after ${seconds.toFixed(1)} s (aim: 60 s)`);
    await system.healthy();
  });

  test("stores correct averages", async () => {
    await eventually("ten windows of every company", 60_000, () =>
      withDatabase(system, async (stocks) => {
        const counts = await Promise.all(companies.map((company) => stocks.countDocuments({ company })));
        return counts.every((count) => count >= 10);
      }),
    );
    await withDatabase(system, async (stocks) => {
      for (const { company, count, avgPrice, buy, sell, minPrice, maxPrice } of await stocks.find().toArray()) {
        assert.ok(companies.includes(company), `there is no company ${company}`);
        assert.equal(count, windowSize);
        assert.equal(buy.count + sell.count, windowSize);
        const mean = (buy.count * buy.avgPrice + sell.count * sell.avgPrice) / windowSize;
        assert.ok(Math.abs(mean - avgPrice) < 1e-6, `${avgPrice} is not the mean ${mean} of its buys and sells`);
        // A window lasts a second, or as long as the publisher waits: its prices are alike.
        assert.ok(
          minPrice < avgPrice && avgPrice < maxPrice && maxPrice < 1.1 * minPrice,
          `${minPrice} to ${maxPrice}`,
        );
      }
    });
    const audit = await system.audit();
    assert.equal(audit.status, 0, audit.output);
    assert.deepEqual([...new Set(audit.epochs.map(({ queue }) => queue))].sort(), companies);
  });

  test("shows every company in a browser", async () => {
    await showsEveryCompany();
  });

  test("up once more changes nothing", async () => {
    const ids = async () => [...(await system.running())].map(([service, { Id, State }]) => [service, Id, State.Pid]);
    const before = await ids();
    await system.up();
    assert.deepEqual(await ids(), before);
    await system.healthy();
  });

  test("down and up keep every average", async (t) => {
    const stored = () =>
      withDatabase(system, async (stocks) =>
        (await stocks.find().project({ _id: 1 }).toArray()).map(({ _id }) => `${_id}`),
      );
    const secrets = await system.secrets();
    const before = await stored();
    await system.compose("down");
    assert.equal((await system.containers()).size, 0);
    const seconds = await upToAverages(180_000);
    t.diagnostic(`averages of every company on the page after ${seconds.toFixed(1)} s (aim: 30 s)`);
    const now = new Set(await stored());
    assert.deepEqual(
      before.filter((id) => !now.has(id)),
      [],
      "averages are gone",
    );
    assert.deepEqual(await system.secrets(), secrets, "secrets have changed");
    const audit = await system.audit();
    assert.equal(audit.status, 0, audit.output);
  });

  // Each moment comes when its condition first holds.
  const moments = {
    "while secrets are made": (containers) => containers.has("secrets"),
    "while the replica set is initiated": (containers) => containers.get("mongo-init")?.State.Running,
    "when the consumers start": (containers) => containers.get("consumer-msft")?.State.Running,
  };
  for (const [moment, hasCome] of Object.entries(moments)) {
    test(`the next start repairs a first start that is cut off ${moment}`, async () => {
      await system.remove();
      const up = spawn("docker", ["compose", "up", "--detach"], {
        cwd: root,
        stdio: ["ignore", "ignore", "pipe"],
        // Compose is a child of docker: a process group of their own lets both be killed.
        detached: true,
      });
      const [ended, said] = [once(up, "exit"), text(up.stderr)];
      let came;
      const look = async () => {
        const isAtEnd = up.exitCode !== null;
        came = hasCome(await system.containers());
        return came || isAtEnd;
      };
      await eventually("the moment comes", 180_000, look, 20);
      if (!came) assert.fail(`it ended before: ${await said}`);
      killProcess(-up.pid);
      await ended;
      await said; // ends when Compose, too, has closed its standard error
      const killed = [...(await system.running()).values()].map(({ State }) => State.Pid);
      killed.forEach(killProcess);
      await eventually("the engine notices", 10_000, async () =>
        [...(await system.running()).values()].every(({ State }) => !killed.includes(State.Pid)),
      );
      await upToAverages(180_000);
      await system.healthy();
      const audit = await system.audit();
      assert.equal(audit.status, 0, audit.output);
    });
  }
});

describe("a topology of companies with awkward symbols in containers", () => {
  let project;
  /** @type {System} */
  let awkward;

  before(async () => {
    await system.remove();
    project = await mkdtemp(join(tmpdir(), "stockmarket-awkward."));
    await copyWithAwkwardCompanies(project);
    awkward = new System([], {}, project);
  });
  after(async () => {
    await awkward?.remove();
    await rm(project, { recursive: true });
  });

  test("Compose reads it without a warning", async () => {
    const { status, stderr } = await attempt("docker", ["compose", ...awkward.options, "config", "--quiet"]);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, "");
  });

  test("comes up, with an average of every company", async () => {
    await upToAverages(180_000, awkward, [...companies, ...awkwardCompanies]);
    await awkward.healthy();
    const audit = await awkward.audit();
    assert.equal(audit.status, 0, audit.output);
    const counted = new Set(audit.epochs.map(({ queue }) => queue));
    assert.deepEqual([...counted].toSorted(), [...companies, ...awkwardCompanies].toSorted());
  });
});

/** Kills a process, or with a negative number a process group, unless it has ended already. */
function killProcess(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}
