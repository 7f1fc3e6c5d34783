// stack.yml on a Swarm of one machine: it comes up, waits for servers that are away, takes changed passwords, and is
// updated under load, all without losing a trade.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../lib/waiting.mjs";
import { networkOf, reached, withListenerOutside } from "./security.mjs";
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
const brokers = ["rabbitmq1", "rabbitmq2", "rabbitmq3"];
const members = ["mongo1", "mongo2", "mongo3"];
const consumers = ["consumer-msft", "consumer-tsla", "consumer-aapl"];
const updated = [...consumers, "liveview"];

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

/** An audit without gaps and doubles. Trades that a consumer gave back look missing until they come again. */
function soundAudit() {
  return eventually("every trade is counted exactly once", 60_000, async () => {
    const found = await audit();
    assert.equal(found.status, 0, found.output);
    assert.ok(found.epochs.length > 0, found.output);
    return found;
  });
}

/** Runs as many tasks of each service, and waits until that many run. */
async function scale(services, replicas) {
  await docker("service", "scale", "--detach", ...services.map((service) => `stockmarket_${service}=${replicas}`));
  await eventually(`each of ${services} has ${replicas} tasks`, 90_000, async () => {
    const containers = await Promise.all(services.map(containersOf));
    return containers.every(({ length }) => length === replicas);
  });
}

/** The containers of services, by service. */
async function containersByService(services) {
  return Object.fromEntries(
    await Promise.all(services.map(async (service) => [service, (await containersOf(service)).sort()])),
  );
}

const inspect = async (container) => JSON.parse(await docker("inspect", container))[0];

/** Services with fewer running tasks than replicas. */
async function incomplete() {
  const lines = (await docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}")).split("\n").filter(Boolean);
  return lines.filter((line) => {
    const [, name, are, should] = line.match(/^stockmarket_(\S+) (\d+)\/(\d+)/);
    return !["mongo-init", "rabbitmq-init"].includes(name) && are !== should;
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
  /** Deploys it as docs/several-machines.md says. */
  const deploy = (environment = { NAMESPACE: "stockmarket" }, wrapper = [join(project, "scripts/stack-secrets")]) => {
    const command = ["docker", "stack", "deploy", "--resolve-image", "never"];
    const stack = ["--compose-file", join(project, "stack.yml"), "stockmarket"];
    const [program, ...args] = [...wrapper, ...command, ...stack];
    return attempt(program, args, { environment });
  };
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

  test("is not deployed without a namespace of our images, or without the versions of the secrets", async () => {
    const nameless = await deploy({ NAMESPACE: "" });
    assert.notEqual(nameless.status, 0);
    assert.match(nameless.stderr, /set NAMESPACE to the Docker Hub namespace of our images/);
    const unversioned = await deploy({ NAMESPACE: "stockmarket" }, []);
    assert.notEqual(unversioned.status, 0);
    assert.match(unversioned.stderr, /deploy as the top of stack\.yml says/);
    assert.deepEqual(await leftovers(["services", "secrets"]), []);
  });

  test("comes up", async (t) => {
    const begin = Date.now();
    const { status: deployed, stderr } = await deploy();
    assert.equal(deployed, 0, stderr);
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

  test("the brokers have only the users of the definitions", async () => {
    const [broker] = await containersOf("rabbitmq2");
    const list = await docker("exec", broker, "rabbitmqctl", "--quiet", "list_users", "--formatter", "json");
    const names = JSON.parse(list).map(({ user }) => user);
    assert.deepEqual(names.sort(), ["consumer", "monitoring", "publisher"]);
  });

  test("brokers may open as many files as they need, and no more", async () => {
    for (const service of brokers) {
      const [container] = await containersOf(service);
      const limits = await readFile(`/proc/${(await inspect(container)).State.Pid}/limits`, "utf8");
      assert.match(limits, /^Max open files +16384 +16384 /m, service);
    }
  });

  test("only the load balancer gets out, and the documented rule keeps it in", async () => {
    const containers = (await docker("ps", "--quiet")).split("\n").filter(Boolean);
    const running = await Promise.all(containers.map(inspect));
    const nameOf = ({ Config }) => Config.Labels["com.docker.swarm.service.name"].replace("stockmarket_", "");
    assert.ok(running.length > 20, `only ${running.length} containers`);
    const documentation = await readFile(join(project, "docs/several-machines.md"), "utf8");
    const [, rule] = documentation.match(/^iptables --insert (DOCKER-USER .+)$/m) ?? assert.fail("no rule");
    await withListenerOutside(async (listener) => {
      const gettingOut = [];
      for (const container of running)
        if ((await reached(networkOf(container), [listener])).length > 0) gettingOut.push(nameOf(container));
      assert.deepEqual(gettingOut, ["nginx"]);

      const nginx = running.find((container) => nameOf(container) === "nginx");
      const [begin, failuresBefore] = [Date.now(), visitor.failures.length];
      await run("iptables", ["--insert", ...rule.split(" ")]);
      try {
        assert.deepEqual(await reached(networkOf(nginx), [listener]), []);
        await visitor.everyCompany(begin, 60_000);
        assert.deepEqual(visitor.failures.slice(failuresBefore), []);
      } finally {
        await run("iptables", ["--delete", ...rule.split(" ")]);
      }
    });
  });

  test("while brokers and database are away, only a program that hangs is replaced", async (t) => {
    const waiting = ["publisher", ...updated, "nginx"];
    const before = await containersByService(waiting);
    const epochsBefore = (await soundAudit()).epochs.map(({ epoch }) => epoch);
    const [hanging] = before.liveview;
    const [begin, failuresBefore] = [Date.now(), visitor.failures.length];

    await scale(members, 0);
    await scale(brokers, 0);
    const away = Date.now();
    await docker("kill", "--signal", "STOP", hanging);
    await sleep(60_000);
    await scale(members, 1); // Live views need no broker.
    await sleep(away + 120_000 - Date.now());
    const after = await containersByService(waiting);
    const back = Date.now();
    await scale(brokers, 1);
    await visitor.everyCompany(back, 180_000, [...companies, ...awkwardCompanies]);

    assert.equal(after.liveview.length, 2);
    assert.ok(!after.liveview.includes(hanging), "the live view that hangs was not replaced");
    const others = ({ liveview, ...rest }) => ({
      ...rest,
      liveview: liveview.filter((id) => before.liveview.includes(id) && id !== hanging),
    });
    assert.deepEqual(others(after), others(before), "replaced while they waited");
    assert.deepEqual(others(await containersByService(waiting)), others(before), "replaced after they waited");
    const { epochs, output } = await soundAudit();
    assert.deepEqual(epochs.map(({ epoch }) => epoch).sort(), epochsBefore.sort(), `not the same publisher\n${output}`);
    const failures = visitor.failures.slice(failuresBefore);
    assert.deepEqual(failures.slice(0, 5), [], `${failures.length} HTTP requests failed`);

    const log = await attempt("docker", ["logs", "--since", new Date(begin).toISOString(), before.publisher[0]]);
    const kept = [...log.stderr.matchAll(/"sending_again":(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
    const standstill = (visitor.standstill(begin, Date.now()) / 1000).toFixed(0);
    t.diagnostic(
      `brokers away for ${((back - away) / 1000).toFixed(0)} s, members for 60 s; no average for ${standstill} s; ` +
        `${kept} unconfirmed trades kept; 0 trades lost, 0 doubled; 0 HTTP requests failed`,
    );
  });

  test("a new deployment takes changed passwords, and loses nothing", async (t) => {
    const unchanged = ["nginx", ...brokers, ...members];
    const changed = ["publisher", ...updated];
    const before = await containersByService([...unchanged, ...changed]);
    const users = ["rabbitmq-publisher", "rabbitmq-consumer", "mongodb-consumer", "mongodb-liveview"];
    const passwords = new Map(users.map((name) => [name, randomBytes(12).toString("hex")]));
    for (const [name, password] of passwords) await writeFile(join(project, `secrets/${name}.password`), password);
    const begin = Date.now();
    const { status, stderr } = await deploy();
    assert.equal(status, 0, stderr);
    await eventually("publisher, consumers and live views are updated", 300_000, async () => {
      const format = "{{ with .UpdateStatus }}{{ .State }}{{ end }}";
      const services = changed.map((service) => `stockmarket_${service}`);
      const states = (await docker("service", "inspect", "--format", format, ...services)).trim().split("\n");
      assert.ok(!states.some((state) => /paused|rollback/.test(state)), `${states}`);
      return states.every((state) => state === "completed");
    });
    const end = Date.now();
    await visitor.everyCompany(end, 120_000, [...companies, ...awkwardCompanies]);

    const after = await containersByService([...unchanged, ...changed]);
    for (const service of unchanged) assert.deepEqual(after[service], before[service], `${service} was replaced`);
    for (const [service, name] of [
      ["publisher", "rabbitmq-publisher"],
      ["consumer-msft", "rabbitmq-consumer"],
      ["consumer-msft", "mongodb-consumer"],
      ["liveview", "mongodb-liveview"],
    ]) {
      const { State } = await inspect(after[service][0]);
      const url = await readFile(`/proc/${State.Pid}/root/run/secrets/${name}.url`, "utf8");
      assert.ok(url.includes(passwords.get(name)), `${service} has the last password`);
    }
    await soundAudit();
    t.diagnostic(
      `updated in ${((end - begin) / 1000).toFixed(0)} s; no average for at most ` +
        `${(visitor.standstill(begin, Date.now()) / 1000).toFixed(1)} s; 0 trades lost, 0 doubled`,
    );
  });

  test("secrets that no part uses any more can be removed", async () => {
    const names = await leftovers(["secrets"]);
    const count = new Set(names.map((name) => name.replace(/-[0-9a-f]{8}$/, ""))).size;
    assert.ok(names.length > count, "the last versions of the changed passwords are still there");
    const documentation = await readFile(join(project, "docs/several-machines.md"), "utf8");
    const [command] = documentation.match(/^docker secret ls .+$/m) ?? assert.fail("no command");
    await attempt("bash", ["-c", command]);
    assert.equal((await leftovers(["secrets"])).length, count);
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
    await soundAudit();
    const failures = visitor.failures.slice(firstFailure);
    assert.deepEqual(failures.slice(0, 5), [], `${failures.length} HTTP requests failed`);
    t.diagnostic(
      `updated in ${((end - begin) / 1000).toFixed(0)} s; no average for at most ` +
        `${(visitor.standstill(begin, Date.now()) / 1000).toFixed(1)} s; 0 trades lost, 0 doubled; ` +
        `${visitor.requests - firstRequest} HTTP requests, 0 failed, the slowest took ${(visitor.slowest / 1000).toFixed(1)} s`,
    );
  });
});
