// What tests/with-servers promises to the tests that use it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { root } from "./lib/stockmarket.mjs";
import { eventually } from "./lib/waiting.mjs";

/** Ends a test that hangs. It is no measure: with-servers bounds its own waits, and a busy machine is slow. */
const limits = { timeout: 600_000 };

/** A clone and folders with characters in their paths that a shell would take for its own. */
const folder = await mkdtemp(join(tmpdir(), "stockmarket a & ü (b)."));
await symlink(root, join(folder, "clone"));
after(() => rm(folder, { recursive: true }));

/**
 * Starts a shell command beside servers of its own. `ended` resolves when with-servers exits; `closed`, with the same
 * status and signal, when all output has been read too.
 */
function start(script) {
  const child = spawn(join(folder, "clone/tests/with-servers"), ["bash", "-euc", script], {
    env: { ...process.env, TMPDIR: folder },
  });
  const started = {
    child,
    output: "",
    errors: "",
    home: "",
    command: 0,
    ended: once(child, "exit"),
    closed: once(child, "close"),
  };
  child.stdout.on("data", (data) => {
    started.output += data;
    const introduction = started.output.match(/^command (\d+) beside (.+)$/m);
    if (introduction) [started.command, started.home] = [Number(introduction[1]), introduction[2]];
  });
  child.stderr.on("data", (data) => {
    started.errors += data;
  });
  return started;
}

/** The ids of the processes with this STOCKMARKET_HOME in their environment. */
async function processesOf(home) {
  const found = [];
  for (const id of await readdir("/proc")) {
    const environment = /^\d+$/.test(id) && (await readFile(`/proc/${id}/environ`, "utf8").catch(() => ""));
    if (environment && environment.split("\0").includes(`STOCKMARKET_HOME=${home}`)) found.push(id);
  }
  return found;
}

const isRunning = (id) => existsSync(`/proc/${id}`);

async function assertNothingLeft(home) {
  assert.notEqual(home, "");
  await eventually(
    "folder and processes are gone",
    20_000,
    async () => !existsSync(home) && (await processesOf(home)).length === 0,
  );
}

const introduceItself = 'echo "command $$ beside $TEST_SERVERS_HOME"; ';

test(
  "exits with the command's status and leaves nothing behind; two at a time do not disturb each other",
  limits,
  async () => {
    const runs = [0, 7].map((status) => ({ status, started: start(`${introduceItself} exit ${status}`) }));
    for (const { status, started } of runs) {
      assert.deepEqual(await started.closed, [status, null], started.errors);
      await assertNothingLeft(started.home);
    }
  },
);

test("servers can be stopped, killed and started again, and a new primary is found", limits, async () => {
  const started = start(`${introduceItself}
    first=$("$TEST_SERVERS" primary)
    "$TEST_SERVERS" kill "$first"
    second=$("$TEST_SERVERS" primary)
    test "$first" != "$second"
    "$TEST_SERVERS" start "$first"
    "$TEST_SERVERS" restart rabbitmq
    "$TEST_SERVERS" kill rabbitmq
    "$TEST_SERVERS" start rabbitmq
    "$TEST_SERVERS" rabbitmqctl list_users
    "$TEST_SERVERS" stop rabbitmq
    echo finished`);
  assert.deepEqual(await started.closed, [0, null], started.errors);
  assert.match(started.output, /admin\t/);
  assert.match(started.output, /finished/);
  await assertNothingLeft(started.home);
});

for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"]) {
  test(`${signal} ends the servers and removes their folder`, limits, async () => {
    const started = start(`${introduceItself} exec sleep 1000`);
    try {
      await eventually("the command runs", 90_000, () => started.command);
      started.child.kill(signal);
      await started.ended;
      // After SIGKILL, with-servers cannot end its command.
      assert.equal(isRunning(started.command), signal === "SIGKILL");
    } finally {
      started.child.kill();
      if (started.command && isRunning(started.command)) process.kill(started.command, "SIGKILL");
    }
    await assertNothingLeft(started.home);
  });
}
