// The scripts that make secrets may be interrupted anywhere: the next run recovers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { root } from "./lib/stockmarket.mjs";

/** Root may write files that nobody may write. In a container it may not, nor may a user. */
const unprivileged = process.getuid() === 0 ? ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] : [];

/**
 * Runs a script. With `killAt`, it and all that it started are killed before its command of that number.
 * @returns {Promise<{status: number | null, output: string}>}
 */
async function runScript(script, { environment, args = [], killAt = -1 }) {
  const shell = `set -T; n=0; trap '((n++ != ${killAt})) || kill -KILL 0' DEBUG; source "$0"`;
  const [program, ...rest] = [...unprivileged, "bash", "-c", shell, script, ...args];
  const child = spawn(program, rest, {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ["ignore", "pipe", "pipe"], // bash takes a socket for a remote login
    detached: true, // in a process group of its own
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      output += data;
    });
  }
  const [status] = await once(child, "close");
  return { status, output };
}

/** The files below a folder, with their contents. @returns {Promise<Map<string, string>>} */
async function filesBelow(folder) {
  const found = new Map();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path.slice(folder.length + 1), await readFile(path, "utf8"));
  }
  return found;
}

/** The secrets of a system with one user of the broker and one of the database. */
const secretsOfTwoUsers = [
  "erlang.cookie",
  "mongodb-consumer.password",
  "mongodb-consumer.url",
  "mongodb.key",
  "rabbitmq-definitions.json",
  "rabbitmq-publisher.password",
  "rabbitmq-publisher.url",
];

const isMade = (name) => /\.password$|cookie$|mongodb\.key$/.test(name);

/**
 * Interrupts a script at each of its commands, in a new folder each time, and runs it again.
 * @param {(folder: string, killAt?: number) => Promise<{status: number | null, output: string}>} run
 * @param {string[]} expected  the files that are there in the end
 */
async function recoversEverywhere(run, expected) {
  let interruptions = 0;
  for (let killAt = 0; ; killAt++) {
    const folder = await mkdtemp(join(tmpdir(), "stockmarket-secrets."));
    try {
      const interrupted = await run(folder, killAt);
      const before = await filesBelow(folder);
      const next = await run(folder);
      assert.equal(next.status, 0, `interrupted at command ${killAt}: ${next.output}`);
      const after = await filesBelow(folder);
      const names = [...after.keys()].filter((name) => !/^(own|clone)\//.test(name));
      assert.deepEqual(names.toSorted(), expected.toSorted(), `interrupted at command ${killAt}`);
      for (const [name, content] of after) {
        assert.notEqual(content, "", `${name} after an interruption at command ${killAt}`);
        if (isMade(name) && before.get(name)) assert.equal(content, before.get(name), `${name} keeps its content`);
      }
      if (interrupted.status === 0) break;
      interruptions += 1;
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  assert.ok(interruptions > 20, `only ${interruptions} interruptions`);
}

describe("interrupted anywhere, the next run recovers:", { concurrency: 2 }, () => {
  test("make-secrets.sh", async () => {
    const driver = await mkdtemp(join(tmpdir(), "stockmarket-secrets-driver."));
    const script = join(driver, "driver");
    await writeFile(script, `set -euo pipefail\nsource "${join(root, "scripts/make-secrets.sh")}"\n`);
    const run = (folder, killAt) =>
      runScript(script, {
        killAt,
        environment: {
          secrets: folder,
          rabbitmq_address: "127.0.0.1:5672",
          rabbitmq_users: "publisher",
          mongodb_members: "127.0.0.1:27017",
          mongodb_users: "consumer",
        },
      });
    await recoversEverywhere(run, secretsOfTwoUsers);
    await rm(driver, { recursive: true });
  });

  // The script gives files to a user and the group of the same number.
  const isOwnGroup = process.getuid() === process.getgid();
  test("containers/secrets", { skip: !isOwnGroup && "this user's group has another number" }, async () => {
    const scripts = await mkdtemp(join(tmpdir(), "stockmarket-secrets-scripts."));
    const ofUsers = 'rabbitmq_users="publisher" mongodb_users="consumer"';
    const script = await readFile(join(root, "containers/secrets"), "utf8");
    for (const folder of ["containers", "scripts"]) await mkdir(join(scripts, folder));
    await writeFile(join(scripts, "containers/secrets"), script.replace(/^rabbitmq_users=.*$/m, ofUsers));
    for (const file of ["containers/addresses", "scripts/make-secrets.sh"])
      await copyFile(join(root, file), join(scripts, file));
    const run = async (folder, killAt) => {
      for (const volume of ["clone/nginx", "for/rabbitmq", "own", "secrets", "stockmarket"])
        await mkdir(join(folder, volume), { recursive: true });
      await writeFile(join(folder, "clone/nginx/core.conf"), "made under umask 077", { mode: 0o600 });
      await writeFile(join(folder, "own/rabbitmq-publisher.password"), "a-password-of-my-own");
      return runScript(join(scripts, "containers/secrets"), {
        killAt,
        environment: { SECRETS_ROOT: folder },
        args: [`rabbitmq ${process.getuid()} rabbitmq-definitions.json erlang.cookie:.erlang.cookie`],
      });
    };
    await recoversEverywhere(run, [
      ...[".erlang.cookie", "rabbitmq-definitions.json"].map((name) => join("for/rabbitmq", name)),
      ...[...secretsOfTwoUsers, "grafana-admin.password"].map((name) => join("secrets", name)),
      "stockmarket/nginx/core.conf",
    ]);
    await rm(scripts, { recursive: true });
  });

  test("the broker's start", async () => {
    // A project with a broker that only says that it was started.
    const project = await mkdtemp(join(tmpdir(), "stockmarket-secrets-project."));
    const bin = join(project, ".local/tools/bin");
    await mkdir(join(project, "scripts/run"), { recursive: true });
    await mkdir(bin, { recursive: true });
    for (const name of ["lib.sh", "ports", "rabbitmq-environment.sh", "run/rabbitmq"])
      await copyFile(join(root, "scripts", name), join(project, "scripts", name));
    await writeFile(join(project, ".local/tools/rabbitmq-version"), "4.3.6\n");
    await writeFile(join(bin, "rabbitmq-server"), "#!/bin/sh\n");
    await chmod(join(bin, "rabbitmq-server"), 0o755);
    const run = async (folder, killAt) => {
      await mkdir(join(folder, "secrets"), { recursive: true });
      await writeFile(join(folder, "secrets/erlang.cookie"), "a cookie");
      return runScript(join(project, "scripts/run/rabbitmq"), {
        killAt,
        environment: { STOCKMARKET_HOME: folder },
      });
    };
    await recoversEverywhere(run, [
      "secrets/erlang.cookie",
      ...[".erlang.cookie", "enabled_plugins", "rabbitmq.conf"].map((name) => join("data/rabbitmq", name)),
    ]);
    await rm(project, { recursive: true });
  });
});

test("only the owner can read the secrets, also after an interruption", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stockmarket-secrets."));
  const home = join(folder, "home");
  try {
    for (const killAt of [60, 90, 120, -1]) {
      await runScript(join(root, "scripts/secrets"), { killAt, environment: { STOCKMARKET_HOME: home } });
      for (const name of (await filesBelow(home)).keys()) {
        const { mode } = await stat(join(home, name));
        assert.equal(mode & 0o077, 0, `${name} has the mode ${mode.toString(8)}`);
      }
    }
    assert.ok((await filesBelow(home)).has("secrets/mongodb-admin.url"));
  } finally {
    await rm(folder, { recursive: true });
  }
});
