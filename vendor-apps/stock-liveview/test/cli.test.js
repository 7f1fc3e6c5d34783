/** The command line, as an operator meets it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, it } from "node:test";
import { databaseUrl, eventually, freePorts, measureSlowness, run, Viewer } from "./support.js";

/** @param {Record<string, string>} environment */
async function runReady(environment) {
  const running = run([], environment);
  const port = await eventually(() => running.output.err.match(/"port":(\d+)/)?.[1], "it listens");
  const ready = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;
  await eventually(ready, "it is ready");
  return { ...running, port };
}

describe("stock-liveview", () => {
  it("prints its help and its version", async () => {
    const help = run(["--help"], {});
    assert.equal(await help.exited, 0);
    assert.match(help.output.out, /MONGODB_URL_FILE/);
    const version = run(["--version"], {});
    assert.equal(await version.exited, 0);
    assert.match(version.output.out, /^stock-liveview \d+\.\d+\.\d+\n$/);
    const unknown = run(["serve"], {});
    assert.equal(await unknown.exited, 64);
  });

  it("exits with 78 and names every problem when the configuration is wrong", async () => {
    const { output, exited } = run([], { PORT: "x", MONGODB_URL: "mongodb://user:hunter2@:/", LOG_LEVEL: "loud" });
    assert.equal(await exited, 78);
    for (const name of ["PORT", "MONGODB_URL", "LOG_LEVEL"]) assert.match(output.err, new RegExp(`^ {2}${name} `, "m"));
    assert.doesNotMatch(output.err, /hunter2|at file:|node:internal/);
  });

  it("says what to do when the port is taken", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = /** @type {import("node:net").AddressInfo} */ (other.address());
    const { output, exited } = run([], { PORT: String(port), MONGODB_URL: databaseUrl() });
    assert.equal(await exited, 1);
    assert.match(output.err, /set PORT to another/);
    other.close();
  });

  it("waits for a missing database, serves the page meanwhile, and never logs the password", async () => {
    const environment = { PORT: "0", MONGODB_URL: "mongodb://user:hunter2@127.0.0.1:9/?serverSelectionTimeoutMS=300" };
    const { child, output, exited } = run([], environment);
    const port = await eventually(() => output.err.match(/"port":(\d+)/)?.[1], "it listens");
    await eventually(() => /unreachable/.test(output.err), "it says so");
    assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
    assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 503);
    assert.equal((await fetch(`http://127.0.0.1:${port}/history?company=A&range=1h`)).status, 503);
    child.kill("SIGTERM");
    assert.equal(await exited, 0);
    assert.doesNotMatch(output.err, /hunter2/);
  });

  it("is ready as soon as a missing database appears; health checks tell waiting from hanging", async () => {
    const [, member = ""] = databaseUrl().match(/@([^,/]+)/) ?? [];
    const [memberHost = "", memberPort] = member.split(":");
    const [wayPort] = await freePorts(1);
    /** @type {Set<import("node:net").Socket>} */
    const ways = new Set();
    const way = createServer((socket) => {
      ways.add(socket);
      const onwards = connect(Number(memberPort), memberHost);
      socket.on("close", () => onwards.destroy());
      socket.pipe(onwards).on("error", () => socket.destroy());
      onwards.pipe(socket).on("error", () => onwards.destroy());
    });

    const url = databaseUrl().replace(/@[^/]+\/\?(.*)/, `@127.0.0.1:${wayPort}/?directConnection=true&$1`);
    const [port] = await freePorts(1);
    const environment = {
      PORT: String(port),
      HOST: "0.0.0.0",
      MONGODB_URL: `${url}&serverSelectionTimeoutMS=300`,
    };
    /** Exit codes of both health checks. */
    const checks = () =>
      Promise.all([["healthcheck"], ["healthcheck", "started"]].map((command) => run(command, environment).exited));
    assert.deepEqual(await checks(), [1, 1], "nothing runs");
    const { child, output, exited } = run([], environment);
    await eventually(() => /unreachable/.test(output.err), "it says so");
    assert.deepEqual(await checks(), [1, 1], "it has not started");
    way.listen(wayPort, "127.0.0.1");
    await eventually(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, "it is ready");
    assert.deepEqual(await checks(), [0, 0], "it is ready");
    way.close();
    for (const socket of ways) socket.destroy();
    await eventually(async () => !(await fetch(`http://127.0.0.1:${port}/readyz`)).ok, "it waits");
    assert.deepEqual(await checks(), [1, 0], "it merely waits");
    child.kill("SIGSTOP");
    assert.deepEqual(await checks(), [1, 1], "it hangs");
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    await exited;
  });

  it("stops cleanly on a signal, and at once on a second one", async () => {
    const first = await runReady({ PORT: "0", MONGODB_URL: databaseUrl() });
    const viewer = await Viewer.open(`ws://127.0.0.1:${first.port}/`);
    first.child.kill("SIGTERM");
    assert.equal(await first.exited, 0);
    await eventually(() => viewer.closeCode === 1001, "the browser is told to move on");

    const second = await runReady({ PORT: "0", MONGODB_URL: databaseUrl() });
    const deaf = await Viewer.open(`ws://127.0.0.1:${second.port}/`);
    deaf.socket.pause();
    second.child.kill("SIGINT");
    await eventually(() => /stopping/.test(second.output.err), "it is stopping");
    const [started, slowness] = [performance.now(), measureSlowness()];
    second.child.kill("SIGINT");
    assert.equal(await second.exited, 1);
    assert.ok(performance.now() - started < 1000 * slowness(), "at once");
    deaf.close();
  });

  it("logs JSON when stderr is not a terminal", async () => {
    const { child, output, exited } = await runReady({ PORT: "0", MONGODB_URL: databaseUrl() });
    child.kill("SIGTERM");
    await exited;
    for (const line of output.err.trim().split("\n")) assert.ok(JSON.parse(line).message, line);
  });
});
