// What scripts/machine.sh finds out about a machine before anything is fetched or compiled. Machines are made of fake
// programs.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { root, run } from "./lib/stockmarket.mjs";

const script = (text) => `#!/bin/sh\n${text}\n`;
const prints = (text) => script(`echo '${text}'`);
/** Answers `uname -s` and `uname -sm`. */
const system = (name, machine) => script(`[ "$1" = -s ] && echo ${name} || echo ${name} ${machine}`);

/** Programs of an x86_64 machine that has all that is needed. They do nothing but say their version. */
const complete = {
  rustc: prints("rustc 1.88.0 (6b00bc388 2025-06-23)"),
  cargo: prints("cargo 1.88.0 (873a06493 2025-05-10)"),
  cc: script("exit 0"),
  go: prints("go version go1.26.0 linux/amd64"),
  node: prints("v20.19.0"),
  npm: prints("10.8.2"),
  python3: prints("pip 23.0.1"),
  uname: system("Linux", "x86_64"),
  getconf: prints("glibc 2.36"),
  "apt-get": script("exit 1"),
};
const realBash = execFileSync("bash", ["-c", 'command -v "$BASH"'], { encoding: "utf8" }).trim();

/** Whatever this machine has of these, a test's machine has only what its test gives it. */
const servers = [
  "mongod",
  "rabbitmq-server",
  "nginx",
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
];

let folder = "";
let project = "";
let common = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "stockmarket-machine."));
  project = join(folder, "project");
  common = join(folder, "common");
  for (const part of [
    "scripts",
    "tests/lib/checks.sh",
    "Cargo.toml",
    "vendor-apps/stock-publisher/go.mod",
    "vendor-apps/stock-liveview/package.json",
  ])
    await cp(join(root, part), join(project, part), { recursive: true });
  await mkdir(common);
  for (const directory of process.env.PATH.split(delimiter)) {
    for (const name of await readdir(directory).catch(() => [])) {
      if (!(name in complete) && !servers.includes(name))
        await symlink(join(directory, name), join(common, name)).catch(() => {}); // the first one counts
    }
  }
});
after(() => rm(folder, { recursive: true }));

/** Runs a command of a project on a machine with these programs; `undefined` takes one away. */
async function on(programs, command, environment = {}) {
  const bin = await mkdtemp(join(folder, "bin."));
  const { without = [], ...present } = programs;
  for (const [name, text] of Object.entries({ ...complete, ...present }))
    if (!without.includes(name)) await writeFile(join(bin, name), text, { mode: 0o755 });
  let path = `${bin}:${common}`;
  if (without.some((name) => !(name in complete))) {
    path = bin;
    for (const name of await readdir(common))
      if (!without.includes(name)) await symlink(join(common, name), join(bin, name)).catch(() => {});
  }
  return run("bash", ["-c", `cd "$0" && ${command}`, project], {
    environment: { ...process.env, PATH: path, ...environment },
  });
}

const machine = "source scripts/lib.sh && source scripts/machine.sh";
const everything = `${machine} && require_compilers && require_servers && stop_if_lacking && echo complete`;

test("a machine that has everything is accepted", async () => {
  const { output } = await on({ mongod: prints("db version v7.0.0") }, everything);
  assert.equal(output, "complete\n");
});

describe("refused before anything is fetched or compiled, with what to do:", () => {
  const machines = [
    ["an old Rust", { rustc: prints("rustc 1.75.0 (82e1608df)") }, /rustc 1\.75\.0 is too old\n.*Rust 1\.88 or later/],
    ["an old Go", { go: prints("go version go1.19.8 linux/amd64") }, /Go 1\.19\.8 is too old\n.*Go 1\.26 or later/],
    [
      "an older Go that may not fetch a newer one",
      { go: script('[ "$1" = env ] && echo local || echo go version go1.24.4 linux/amd64') },
      /Go 1\.24\.4 is too old\n.*Go 1\.26 or later/,
    ],
    ["an old Node", { node: prints("v18.20.4") }, /node 18\.20\.4 is too old\n.*Node 20\.19 or later/],
    [
      "an old Bash",
      { bash: script(`[ "$1" = --version ] && echo GNU bash, Version 4.4.20 || exec "${realBash}" "$@"`) },
      /bash 4\.4\.20 is too old/,
    ],
    [
      "a Rust without toolchain",
      { cargo: script("echo no default is configured >&2; exit 1") },
      /cargo does not run: no default is configured\n.*Rust/,
    ],
    ["no Go", { without: ["go"] }, /go is missing\n.*Go 1\.26/],
    ["no npm", { without: ["npm"] }, /npm is missing\n.*Node/],
    ["no C compiler", { without: ["cc"] }, /no C compiler that works.*\n.*gcc/],
    ["a C compiler without headers", { cc: script("exit 1") }, /no C compiler that works/],
    ["no setpriv", { without: ["setpriv"] }, /setpriv is missing\n.*util-linux/],
    [
      "arm64 without mongod",
      { uname: system("Linux", "aarch64") },
      /none to fetch for Linux aarch64\n.*MongoDB.*docker compose up/,
    ],
    ["an old C library", { getconf: prints("glibc 2.31") }, /needs glibc 2\.34 or later, .* glibc 2\.31\n.*MongoDB/],
    ["another C library", { getconf: script("exit 1") }, /needs glibc 2\.34 or later, .* another C library/],
  ];
  for (const [name, programs, expected] of machines) {
    test(name, async () => {
      const { status, output } = await on(programs, everything);
      assert.equal(status, 1, output);
      assert.match(output, expected);
      assert.doesNotMatch(output, /complete/);
    });
  }

  test("several at once: all are named", async () => {
    const { output } = await on({ without: ["cargo", "npm"], node: prints("v18.20.4") }, everything);
    for (const problem of [/cargo is missing/, /npm is missing/, /node 18/]) assert.match(output, problem);
  });

  test("a processor without AVX", async () => {
    const cpuinfo = join(folder, "cpuinfo");
    for (const [flags, status] of [
      ["fpu sse4_2 xsave", 1],
      ["fpu sse4_2 avx xsave", 0],
    ]) {
      await writeFile(cpuinfo, `processor : 0\nflags : ${flags}\n`);
      const result = await on({}, `${machine} && require_mongod 'Linux x86_64' ${cpuinfo} && stop_if_lacking`);
      assert.equal(result.status, status, result.output);
      assert.equal(/has no AVX, which MongoDB needs\n.*another machine/.test(result.output), status === 1);
    }
  });

  test("a path with a character that configuration files would interpret", async () => {
    const paths = `${machine} && STOCKMARKET_HOME=$HOME_PATH && require_paths && stop_if_lacking`;
    for (const character of ":'\"$`\\#{*\n") {
      const { status, output } = await on({}, paths, { HOME_PATH: `/a${character}b` });
      assert.equal(status, 1, character);
      assert.match(output, /has one of these characters/);
    }
    const { output } = await on({}, paths, { HOME_PATH: "/a b & ü (x)+=@,~" });
    assert.equal(output, "");
  });

  for (const command of ["up", "test"]) {
    test(`scripts/${command} begins with it`, async () => {
      const { status, output } = await on({ node: prints("v18.20.4") }, `scripts/${command} </dev/null`);
      assert.equal(status, 1);
      assert.match(output, /^stockmarket: node 18\.20\.4 is too old\n[^\n]*\n$/);
    });
  }
});

test("an older Go that fetches a newer one by itself is accepted", async () => {
  const go = script('[ "$1" = env ] && echo auto || echo go version go1.24.4 linux/amd64');
  const { output } = await on({ go, mongod: prints("db version v7.0.0") }, everything);
  assert.equal(output, "complete\n");
});

test("arm64 with a mongod of its own is accepted", async () => {
  const { output } = await on({ uname: system("Linux", "aarch64"), mongod: prints("db version v8.0.4") }, everything);
  assert.equal(output, "complete\n");
});

describe("the browser", () => {
  const notOurs = "there is no browser, and apt has none that can be unpacked";

  test("Google Chrome is taken where Ubuntu's chromium-browser only points to a snap", async () => {
    const stub = script("echo requires the chromium snap; exit 1");
    const chrome = prints("Google Chrome 140.0");
    const { status, output } = await on(
      { "chromium-browser": stub, "google-chrome-stable": chrome },
      "scripts/install browser && .local/tools/bin/chromium --version",
    );
    assert.equal(status, 0, output);
    assert.match(output, /Google Chrome/);
  });

  const packages = {
    "apt has no such package": script('case "$*" in *simulate*) echo no candidate >&2; exit 100 ;; esac'),
    "apt's package holds no browser": script(`case "$*" in
      *simulate*) echo Inst chromium ;;
      *download*) mkdir -p p/DEBIAN && printf 'Package: chromium\\nVersion: 1\\nArchitecture: all\\nMaintainer: m\\nDescription: d\\n' >p/DEBIAN/control && dpkg-deb --build p chromium.deb >/dev/null && rm -r p ;;
    esac`),
  };
  for (const [name, aptGet] of Object.entries(packages)) {
    test(`${name}: says what to do`, async () => {
      const { status, output } = await on({ "apt-get": aptGet }, "rm -rf .local; scripts/install browser");
      assert.equal(status, 1, output);
      assert.match(output, new RegExp(`${notOurs}.*\n.*Google Chrome`));
    });
  }
});
