// What any clone can do, wherever and however it was made.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { root, run } from "./lib/stockmarket.mjs";
import { eventually } from "./lib/waiting.mjs";

const git = (...args) => execFileSync("git", ["-C", root, ...args], { encoding: "utf8" });
const list = (text) => text.split("\0").filter(Boolean);

/** Runs `use` with a new folder, and removes it. */
async function inNewFolder(use) {
  const folder = await mkdtemp(join(tmpdir(), "stockmarket-clone."));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("Git for Windows checks out every file byte for byte", () =>
  inNewFolder(async (folder) => {
    for (const autocrlf of ["true", "false"])
      git("-c", `core.autocrlf=${autocrlf}`, "checkout-index", "--all", `--prefix=${join(folder, autocrlf)}/`);
    const changed = [];
    for (const file of list(git("ls-files", "--cached", "-z"))) {
      const [onWindows, elsewhere] = await Promise.all(
        ["true", "false"].map((autocrlf) => readFile(join(folder, autocrlf, file))),
      );
      if (!onWindows.equals(elsewhere)) changed.push(file);
    }
    assert.deepEqual(changed, []);
  }));

// --- what a developer's shell may export ------------------------------------------

const isShellScript = (text) => /^#!.*\b(ba)?sh$/m.test(text.split("\n", 1)[0]);
const isLibrary = (file) => file.endsWith("/lib.sh");

/** The line of the first `cd` that may go elsewhere, from 1; 0: there is none. */
function firstUnsafeChange(text) {
  for (const [index, line] of text.split("\n").entries()) {
    if (/^unset\b.*\bCDPATH\b|^source .*\/lib\.sh"$/.test(line)) return 0;
    if (/^[^#]*(^|[\s(;&|])cd\s/.test(line)) return index + 1;
  }
  return 0;
}

test("no script changes its folder before it has unset CDPATH", async () => {
  const found = [];
  let scripts = 0;
  for (const file of list(git("ls-files", "--cached", "--others", "--exclude-standard", "-z"))) {
    const text = await readFile(join(root, file), "utf8").catch(() => "");
    if (!isShellScript(text) && !isLibrary(file)) continue;
    scripts += 1;
    const line = firstUnsafeChange(text);
    if (line) found.push(`${file}:${line}`);
  }
  assert.deepEqual(found, []);
  assert.ok(scripts > 20, `only ${scripts} scripts`);
});

/** Runs a command after lib.sh, in a project's folder. */
async function afterLibrary(project, command, environment) {
  const { status, output } = await run("bash", ["-c", `cd "$0" && source scripts/lib.sh && ${command}`, project], {
    environment: { ...process.env, ...environment },
  });
  assert.equal(status, 0, output);
  return output.trimEnd();
}

test("CDPATH does not lead the scripts elsewhere", () =>
  inNewFolder(async (folder) => {
    await mkdir(join(folder, "scripts"));
    const home = join(folder, "home");
    const place = await afterLibrary(root, 'echo "$STOCKMARKET_ROOT|$STOCKMARKET_HOME"', {
      CDPATH: folder,
      STOCKMARKET_HOME: home,
    });
    assert.equal(place, `${root.replace(/\/$/, "")}|${home}`);
  }));

test("Go compiles our modules for this machine, whatever is exported, also below another workspace", () =>
  inNewFolder(async (folder) => {
    await writeFile(join(folder, "go.work"), "go 1.21\n");
    const module = await afterLibrary(root, "go -C vendor-apps/stock-publisher list -f '{{.Module.Path}}' .", {
      GOWORK: join(folder, "go.work"),
      GOFLAGS: "-mod=vendor",
      GO111MODULE: "off",
      GOOS: "plan9",
    });
    assert.equal(module, "stock-publisher");
  }));

test("Cargo takes the project for a workspace of its own", () =>
  inNewFolder(async (folder) => {
    await writeFile(join(folder, "Cargo.toml"), "[workspace]\nmembers = []\n");
    await mkdir(join(folder, "clone"));
    for (const name of ["Cargo.toml", "Cargo.lock", "src", "tests", "bench"])
      await cp(join(root, name), join(folder, "clone", name), {
        recursive: true,
        filter: (path) => !path.includes("node_modules"),
      });
    const args = ["metadata", "--no-deps", "--offline", "--format-version=1"];
    const manifest = ["--manifest-path", join(folder, "clone/Cargo.toml")];
    const { status, output } = await run("cargo", [...args, ...manifest]);
    assert.equal(status, 0, output);
  }));

test("npm installs what the checks need, also with NODE_ENV=production", () =>
  inNewFolder(async (folder) => {
    await copyScripts(folder);
    await mkdir(join(folder, "package/tool"), { recursive: true });
    const tool = { name: "tool", version: "1.0.0" };
    const locked = { name: "package", devDependencies: { tool: "file:tool" } };
    const lock = {
      name: "package",
      lockfileVersion: 3,
      packages: {
        "": locked,
        "node_modules/tool": { resolved: "tool", link: true },
        tool: { version: "1.0.0", dev: true },
      },
    };
    await writeFile(join(folder, "package/tool/package.json"), JSON.stringify(tool));
    await writeFile(join(folder, "package/package.json"), JSON.stringify(locked));
    await writeFile(join(folder, "package/package-lock.json"), JSON.stringify(lock));
    const { status, output } = await run(join(folder, "scripts/npm-install"), ["package"], {
      environment: { ...process.env, NODE_ENV: "production", npm_config_offline: "true" },
    });
    assert.equal(status, 0, output);
    assert.match(await readFile(join(folder, "package/node_modules/tool/package.json"), "utf8"), /1\.0\.0/);
  }));

test("the broker's variables are ours alone", async () => {
  const variables = await afterLibrary(root, "source scripts/rabbitmq-environment.sh && env", {
    RABBITMQ_USE_LONGNAME: "true",
    RABBITMQ_NODE_PORT: "5672",
    RABBITMQ_PORT: "5999",
    ERL_FLAGS: "-name other",
  });
  assert.doesNotMatch(variables, /^(RABBITMQ_USE_LONGNAME|RABBITMQ_NODE_PORT|ERL_FLAGS)=/m);
  assert.match(variables, /^RABBITMQ_PORT=5999$/m);
});

/** A project with a copy of the scripts, and without any tools. */
async function copyScripts(project) {
  await cp(join(root, "scripts"), join(project, "scripts"), { recursive: true });
}

test("the parts do not get another system's addresses and names", () =>
  inNewFolder(async (folder) => {
    await copyScripts(folder);
    const seen = join(folder, "seen");
    await mkdir(join(folder, ".local/tools/bin"), { recursive: true });
    await writeFile(
      join(folder, ".local/tools/bin/process-compose"),
      `#!/bin/sh\nenv >'${seen}.new'; mv '${seen}.new' '${seen}'\n`,
      { mode: 0o755 },
    );
    await afterLibrary(folder, "source scripts/supervisor.sh && lock && start_supervisor", {
      STOCKMARKET_HOME: join(folder, "home"),
      RABBITMQ_URL: "amqp://elsewhere",
      MONGODB_DB: "elsewhere",
      COMPANY: "elsewhere",
      PC_NO_SERVER: "1",
      LOG_FORMAT: "json",
    });
    const variables = await eventually("the supervisor has started", 10_000, () => readFile(seen, "utf8"));
    assert.doesNotMatch(variables, /elsewhere|^PC_/m);
    assert.match(variables, /^LOG_FORMAT=json$/m); // what docs/configuration.md promises
  }));
