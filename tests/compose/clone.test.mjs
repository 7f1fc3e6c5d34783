// What a stranger has who clones this repository and knows only Docker: an engine without any image of ours, a clone
// that only its owner can read, in a folder whose name has a space.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { showsEveryCompany } from "./browser.mjs";
import * as security from "./security.mjs";
import { attempt, docker, root, run, System } from "./system.mjs";

const programs = ["stock-consumer", "stock-liveview", "stock-publisher"];

/** The images of ours that the engine has. */
async function images() {
  const list = await docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}");
  return list.split("\n").filter((name) => programs.some((program) => name.endsWith(`/${program}:latest`)));
}

async function removeImages() {
  for (const image of await images()) await docker("image", "rm", "--force", image);
}

describe("a fresh clone and Docker alone", () => {
  let folder;
  /** @type {System} */
  let system;
  const seconds = {};

  /** As the README says. @returns {Promise<string>} what Compose said */
  async function up(what) {
    const begin = performance.now();
    const { status, stdout, stderr } = await attempt("docker", ["compose", ...system.options, "up", "--wait"], {
      limitMs: 1_800_000,
      environment: { BUILDKIT_PROGRESS: "plain" },
    });
    assert.equal(status, 0, stdout + stderr);
    seconds[what] = (performance.now() - begin) / 1000;
    return stdout + stderr;
  }

  const built = (said) => [...said.matchAll(/naming to docker\.io\/(\S+)/g)].map(([, image]) => image).toSorted();

  before(async () => {
    await new System().remove();
    await removeImages();
    await docker("builder", "prune", "--all", "--force"); // layers of an earlier run
    folder = join(await mkdtemp(join(tmpdir(), "stockmarket-clone.")), "a stranger's folder");
    // What git tracks, as it is in the work tree: the same, unless somebody is at work on it.
    const clone = `umask 077; git clone --quiet "${root}" "$0" && git -C "${root}" ls-files -z |
      (cd "${root}" && xargs -0 cp --parents --target-directory "$0")`;
    await run("bash", ["-c", clone, folder]);
    system = new System([], {}, folder);
  });
  after(async () => {
    const rows = Object.entries(seconds).map(([what, time]) => `${time.toFixed(1).padStart(6)} s  ${what}\n`);
    await writeFile(process.env.TEST_TABLE, rows.join(""));
    await system?.remove();
    await removeImages();
    if (folder) await rm(join(folder, ".."), { recursive: true });
  });

  test("`docker compose up` builds each of our images once, and asks no registry for them", async () => {
    assert.deepEqual(await images(), []);
    const said = await up("docker compose up --wait, the first time: builds our images");
    assert.deepEqual(
      built(said),
      programs.map((program) => `stockmarket/${program}:latest`),
    );
    assert.match(said, /cargo build/, "the user sees what is being built");
    assert.doesNotMatch(said, /Pull/);
  });

  test("averages of every company are on the page, and every trade is counted once", async () => {
    await showsEveryCompany();
    const { status, output } = await system.audit();
    assert.equal(status, 0, output);
  });

  test("no one gets in: networks, processes, files and secrets are as intended", async () => {
    assert.deepEqual(await security.checkPorts(), []);
    for (const name of ["Reach", "DirectWay", "Processes", "Settings", "Files", "Secrets", "SecretFiles"])
      assert.deepEqual(await security[`check${name}`](system), [], name);
  });

  test("the next start builds nothing", async () => {
    await system.compose("down");
    const said = await up("docker compose up --wait, the second time");
    assert.deepEqual(built(said), []);
    await showsEveryCompany();
  });

  test("our programs end cleanly", async () => {
    const containers = await system.containers();
    await system.compose("stop");
    for (const [service, { Id, Config }] of containers) {
      if (!programs.some((program) => Config.Image.includes(program))) continue;
      const status = (await docker("inspect", "--format", "{{ .State.ExitCode }}", Id)).trim();
      assert.equal(status, "0", service);
    }
    await system.remove();
  });

  test("an image that Docker has built holds and does what one that Nix has built does", async () => {
    const checks = join(root, "tests/images");
    await run(join(checks, "contents"), await images());
    await run(join(root, "tests/with-servers"), [join(checks, "running")]);
  });

  test("an edit of our code leaves the dependencies' layers as they are", async () => {
    for (const file of ["src/main.rs", "vendor-apps/stock-publisher/main.go", "vendor-apps/stock-liveview/app.js"])
      await writeFile(join(folder, file), `${await readFile(join(folder, file), "utf8")}\n// edited\n`);
    const { status, stdout, stderr } = await attempt("docker", ["compose", ...system.options, "build"], {
      environment: { BUILDKIT_PROGRESS: "plain" },
    });
    const said = stdout + stderr;
    assert.equal(status, 0, said);
    // A step's number, then what it says.
    const steps = new Map();
    for (const [, number, text] of said.matchAll(/^#(\d+) (.*)$/gm))
      steps.set(number, `${steps.get(number) ?? ""}${text}\n`);
    for (const step of ["mkdir -p src", "go mod download", "npm ci"]) {
      const found = [...steps.values()].find((text) => text.split("\n", 1)[0].includes(step));
      assert.ok(found, `no step runs ${step}: ${said}`);
      assert.match(found, /^CACHED$/m, step);
    }
  });

  test("only a namespace that the user names is asked for our images", async () => {
    const sources = async (environment) => {
      const output = await run(
        "docker",
        ["compose", ...system.options, "--profile", "*", "config", "--format", "json"],
        {
          environment,
        },
      );
      return Object.values(JSON.parse(output).services)
        .filter(({ image }) => /\/stock-/.test(image))
        .map(({ image, build, pull_policy }) => ({ image, isBuilt: build !== undefined, pull_policy }));
    };
    const [own, published] = [await sources({}), await sources({ NAMESPACE: "somebody", TAG: "1.2.3" })];
    assert.equal(own.length, published.length);
    assert.deepEqual([...new Set(own.map(({ pull_policy }) => pull_policy))], ["never"]);
    assert.equal(own.filter(({ isBuilt }) => isBuilt).length, programs.length);
    for (const { image, isBuilt, pull_policy } of published) {
      assert.match(image, /^somebody\/stock-[a-z]+:1\.2\.3$/);
      assert.equal(isBuilt, false);
      assert.equal(pull_policy, "missing");
    }
  });
});
