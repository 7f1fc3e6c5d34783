// When `make up` fails, it says why and leaves no process behind.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { root, Stockmarket } from "../lib/stockmarket.mjs";

/** @param {Record<string, string>} variables @param {(stockmarket: Stockmarket) => Promise<void>} prepare */
async function failsToStart(variables, expected, prepare = async () => {}) {
  const stockmarket = await Stockmarket.prepare(variables);
  try {
    await prepare(stockmarket);
    const { status, output } = await stockmarket.make("up");
    assert.notEqual(status, 0, output);
    for (const pattern of expected(stockmarket)) assert.match(output, pattern);
    assert.deepEqual(await stockmarket.processes(), []);
  } finally {
    await stockmarket.remove();
  }
}

test("a port in use: names the port and the variable", async () => {
  const server = createServer();
  try {
    await failsToStart(
      {},
      ({ ports }) => [new RegExp(`port ${ports.MONGO2_PORT} is in use`), /MONGO2_PORT=/],
      async ({ ports }) => {
        server.listen(ports.MONGO2_PORT, "127.0.0.1");
        await once(server, "listening");
      },
    );
  } finally {
    server.close(); // a test that fails would never end with it open
  }
});

test("a full disk: says how much space is needed and how much is free", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stockmarket-df."));
  await writeFile(join(folder, "df"), "#!/bin/sh\necho Filesystem\necho /dev/full 1000 990 10 99% /\n");
  await chmod(join(folder, "df"), 0o755);
  await failsToStart({ PATH: `${folder}:${process.env.PATH}` }, () => [/only 10 MB are free/, /STOCKMARKET_HOME/]);
  await rm(folder, { recursive: true });
});

test("a missing tool: names it and says where to get it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stockmarket-path."));
  for (const directory of process.env.PATH.split(":")) {
    for (const name of await readdir(directory).catch(() => [])) {
      if (name !== "cargo") await symlink(join(directory, name), join(folder, name)).catch(() => {}); // the first one counts
    }
  }
  await failsToStart({ PATH: folder }, () => [/cargo is missing/, /https:\/\/rustup\.rs/]);
  await rm(folder, { recursive: true });
});

test("another system than Linux: says what runs there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stockmarket-uname."));
  await writeFile(join(folder, "uname"), "#!/bin/sh\necho Darwin\n");
  await chmod(join(folder, "uname"), 0o755);
  for (const script of ["up", "down", "test", "build"]) {
    await assert.rejects(
      promisify(execFile)(join(root, "scripts", script), { env: { PATH: `${folder}:${process.env.PATH}` } }),
      ({ code, stderr }) =>
        code === 1 && /^stockmarket: .* Linux only; .*'docker compose up' .* Darwin\n$/.test(stderr),
      script,
    );
  }
  await rm(folder, { recursive: true });
});

test("a part that fails to start: shows the end of its log", async () => {
  await failsToStart({ TICKER_INTERVAL: "soon" }, () => [/publisher/, /TICKER_INTERVAL/]);
});
