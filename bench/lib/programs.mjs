// The programs that are measured: how each is built and started.
import { existsSync } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./processes.mjs";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const peers = join(root, "bench/peers");
/** Where what is built and installed goes. */
const built = join(root, ".local/bench");

/** @typedef {{command: string[], environment?: Record<string, string>}} Program */

/** Ours, optimized as it is published. @returns {Promise<{consumer: Program, steps: string, publisher: Program, liveview: Program}>} */
export async function ours() {
  const profile = ["--profile", process.env.PROFILE || "release"];
  const cargo = ["cargo", "build", "--locked", "--bins", "--bench", "drain", ...profile, "--message-format=json"];
  const messages = (await run(cargo, { cwd: root })).split("\n").map((line) => JSON.parse(line));
  const program = (name) => messages.find(({ target, executable }) => target?.name === name && executable)?.executable;
  await mkdir(built, { recursive: true });
  const publisher = join(built, "stock-publisher");
  await run(["go", "build", "-buildvcs=false", "-o", publisher, "."], {
    cwd: join(root, "vendor-apps/stock-publisher"),
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  return {
    consumer: { command: [process.env.CONSUMER || program("stock-consumer")] },
    steps: program("drain"),
    publisher: { command: [process.env.PUBLISHER || publisher] },
    liveview: { command: [process.execPath, join(root, "vendor-apps/stock-liveview/app.js")] },
  };
}

/** What stands in for the original publisher. @returns {Promise<Program>} */
export async function originalPublisher() {
  return { command: [await go("original-publisher")], environment: { BENCH_DROP_LOG: "1" } };
}

async function go(name) {
  const program = join(built, `go-${name}`);
  await run(["go", "build", "-buildvcs=false", "-o", program, `./${name}`], {
    cwd: join(peers, "go"),
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  return program;
}

const PEERS = {
  async node() {
    await run([join(root, "scripts/npm-install"), "bench/peers/node"]);
    return { command: [process.execPath, join(peers, "node/consumer.mjs")] };
  },
  async go() {
    return { command: [await go("consumer")] };
  },
  async python() {
    const packages = join(built, "python");
    const requirements = join(peers, "python/requirements.txt");
    if (!existsSync(packages) || (await stat(packages)).mtimeMs < (await stat(requirements)).mtimeMs) {
      const install = ["python3", "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"];
      await run([...install, "--upgrade", "--target", packages, "--requirement", requirements]);
    }
    return { command: ["python3", join(peers, "python/consumer.py")], environment: { PYTHONPATH: packages } };
  },
  async rust() {
    const manifest = join(peers, "rust/Cargo.toml");
    const target = join(built, "rust");
    await run([
      "cargo",
      "build",
      "--quiet",
      "--locked",
      "--release",
      "--manifest-path",
      manifest,
      "--target-dir",
      target,
    ]);
    return { command: [join(target, "release/stockmarket-bench-peer")] };
  },
};

export const PEER_NAMES = Object.keys(PEERS);

/**
 * A reader that does the whole job as its library recommends. One that cannot be had here is left out, with the reason.
 * @param {string} name
 * @returns {Promise<Program | undefined>}
 */
export async function peer(name) {
  try {
    return await PEERS[name]();
  } catch (error) {
    console.error(`the peer ${name} is left out: ${String(error.stderr || error.message).trim()}`);
    return undefined;
  }
}

/** What each reader is called in tables. */
export async function titles() {
  const text = (file) => readFile(join(peers, file), "utf8");
  const node = JSON.parse(await text("node/package.json")).dependencies.amqplib;
  const go = (await text("go/go.mod")).match(/amqp091-go v(\S+)/)?.[1];
  const python = (await text("python/requirements.in")).match(/pika==(\S+)/)?.[1];
  const rust = (await text("rust/Cargo.lock")).match(/name = "amqprs"\nversion = "(.+)"/)?.[1];
  return {
    skip: "skips frames (the limit)",
    ours: "stock-consumer",
    baseline: "stock-consumer before",
    node: `Node, amqplib ${node}`,
    go: `Go, amqp091-go ${go}`,
    python: `Python, pika ${python}`,
    rust: `Rust, amqprs ${rust}`,
  };
}
