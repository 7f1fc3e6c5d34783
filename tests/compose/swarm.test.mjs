// stack.yml on a Swarm of one machine: it comes up, and a rolling update under load loses nothing.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../lib/waiting.mjs";
import {
  address,
  Audit,
  attempt,
  awkwardCompanies,
  companies,
  copyWithAwkwardCompanies,
  docker,
  run,
  System,
  Visitor,
} from "./system.mjs";

const servers = ["server1", "server2", "server3"];
const updated = ["consumer-msft", "consumer-tsla", "consumer-aapl", "liveview"];

/** The ids of a service's running containers, newest first. */
async function containersOf(service) {
  const filter = `label=com.docker.swarm.service.name=stockmarket_${service}`;
  return (await docker("ps", "--quiet", "--filter", filter)).split("\n").filter(Boolean);
}

async function audit() {
  const [consumer] = await containersOf("consumer-msft");
  const { status, stdout, stderr } = await attempt("docker", ["exec", consumer, "/bin/stock-consumer", "audit"]);
  return new Audit(status, stdout + stderr);
}

/** Services with fewer running tasks than replicas. */
async function incomplete() {
  const lines = (await docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}")).split("\n").filter(Boolean);
  return lines.filter((line) => {
    const [, name, are, should] = line.match(/^stockmarket_(\S+) (\d+)\/(\d+)/);
    return name !== "mongo-init" && are !== should;
  });
}

/** What the engine still has of the stack, as `docker … ls` names it. */
async function leftovers(kinds) {
  const lists = {
    services: ["service", "ls", "--format", "{{.Name}}"],
    containers: ["ps", "--all", "--format", "{{.Names}}"],
    networks: ["network", "ls", "--format", "{{.Name}}"],
    configs: ["config", "ls", "--format", "{{.Name}}"],
    secrets: ["secret", "ls", "--format", "{{.Name}}"],
  };
  const found = await Promise.all(
    kinds.map(async (kind) =>
      (await docker(...lists[kind]))
        .split("\n")
        .filter((name) => name.startsWith("stockmarket"))
        .map((name) => `${kind}: ${name}`),
    ),
  );
  return found.flat();
}

async function assertGone(kinds) {
  const left = await leftovers(kinds);
  assert.deepEqual(left, [], "not removed yet");
  return true;
}

/**
 * Removes the stack and the Swarm, and waits until both are gone: `docker stack rm` returns before its containers and
 * networks are removed, and the next stage fails on a network of the same name.
 */
async function removeStack() {
  const isSwarm = (await docker("info", "--format", "{{ .Swarm.LocalNodeState }}")).trim() !== "inactive";
  if (isSwarm) {
    await eventually("the stack is removed", 120_000, async () => {
      await attempt("docker", ["stack", "rm", "stockmarket"]); // once more for what was still in use
      return assertGone(["services", "containers", "networks", "configs", "secrets"]);
    });
    await docker("swarm", "leave", "--force");
  }
  await eventually("the engine is clean", 60_000, () => assertGone(["containers", "networks"]));
  await docker("volume", "prune", "--all", "--force");
}

describe("the system on a Swarm", () => {
  /** A copy of the project, with more companies. The user's own secrets stay untouched. */
  let project;
  /** @type {Visitor} */
  let visitor;

  before(async () => {
    await new System().remove();
    await removeStack();
    project = await mkdtemp(join(tmpdir(), "stockmarket-stack."));
    await copyWithAwkwardCompanies(project);
    await docker("swarm", "init", "--advertise-addr", address);
    const labels = servers.flatMap((server) => ["--label-add", `stockmarket.${server}=true`]);
    const node = (await docker("info", "--format", "{{ .Swarm.NodeID }}")).trim();
    await docker("node", "update", ...labels, node);
  });
  after(async () => {
    await visitor?.leave();
    if (project) await rm(project, { recursive: true, force: true });
    await removeStack();
  });

  test("comes up", async (t) => {
    const begin = Date.now();
    await run(join(project, "scripts/stack-secrets"), []);
    const stack = join(project, "stack.yml");
    await docker("stack", "deploy", "--resolve-image", "never", "--compose-file", stack, "stockmarket");
    visitor = new Visitor();
    const last = await visitor.everyCompany(begin, 300_000, [...companies, ...awkwardCompanies]);
    t.diagnostic(`averages of every company on the page after ${((last - begin) / 1000).toFixed(1)} s`);
    await eventually("every service is complete", 180_000, async () => {
      const missing = await incomplete();
      if (missing.length > 0) throw new Error(missing.join(", "));
      return true;
    });
    const { status, output } = await audit();
    assert.equal(status, 0, output);
  });

  test("keeps every company's trades on three brokers", async () => {
    const [broker] = await containersOf("rabbitmq1");
    const list = ["rabbitmqctl", "list_queues", "--quiet", "--formatter", "json", "name", "members"];
    await eventually("every queue has a member on every broker", 60_000, async () => {
      const output = await docker("exec", broker, ...list);
      const queues = JSON.parse(output).filter(({ name }) => companies.includes(name));
      if (queues.length < companies.length || queues.some(({ members }) => members.length < servers.length))
        throw new Error(output);
      return true;
    });
  });

  test("a rolling update of consumers and live views loses nothing", async (t) => {
    const before = await Promise.all(updated.map(containersOf));
    const begin = Date.now();
    const [firstRequest, firstFailure] = [visitor.requests, visitor.failures.length];
    visitor.slowest = 0;

    // --force replaces all tasks with the same image, in the way of an update.
    await Promise.all(
      updated.map((service) => docker("service", "update", "--force", "--quiet", `stockmarket_${service}`)),
    );
    const end = Date.now();
    await visitor.everyCompany(end, 60_000);

    const now = await Promise.all(updated.map(containersOf));
    const kept = before.flat().filter((container) => now.flat().includes(container));
    assert.deepEqual(kept, [], "some containers were not replaced");
    // The trades that a leaving consumer gives back come after later ones. Until then they look missing; lost ones
    // would look so for ever.
    const counted = await eventually("every trade is counted exactly once", 60_000, async () => {
      const found = await audit();
      assert.equal(found.status, 0, found.output);
      return found;
    });
    assert.ok(counted.epochs.length > 0, counted.output);
    const failures = visitor.failures.slice(firstFailure);
    assert.deepEqual(failures.slice(0, 5), [], `${failures.length} HTTP requests failed`);
    t.diagnostic(
      `updated in ${((end - begin) / 1000).toFixed(0)} s; no average for at most ` +
        `${(visitor.standstill(begin, Date.now()) / 1000).toFixed(1)} s; 0 trades lost, 0 doubled; ` +
        `${visitor.requests - firstRequest} HTTP requests, 0 failed, the slowest took ${(visitor.slowest / 1000).toFixed(1)} s`,
    );
  });
});
