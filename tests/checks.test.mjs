// What tests/lib/checks.sh promises to the suites.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const library = join(import.meta.dirname, "lib/checks.sh");

/** Runs a suite of checks. @returns {Promise<{status: number, lines: string[]}>} its exit status and output */
function suite(script) {
  const environment = { ...process.env, TEST_RESULTS: "" }; // results of its own
  const whole = `set -euo pipefail; source "${library}"; trap end_checks EXIT\n${script}`;
  return new Promise((resolve) =>
    execFile("bash", ["-c", whole], { env: environment, timeout: 60_000 }, (error, stdout) =>
      resolve({ status: Number(error?.code ?? 0), lines: stdout.trimEnd().split("\n") }),
    ),
  );
}

test("all checks pass: status 0, and the last line counts them", async () => {
  const { status, lines } = await suite("check one true; check_twice two true; conclude 40");
  assert.equal(status, 0);
  assert.equal(lines.at(-1), "2 passed, 0 failed");
});

test("no check ran: that is a failure", async () => {
  const { status } = await suite("conclude 40");
  assert.equal(status, 1);
});

const runners = {
  cargo: "test faults::one ... FAILED",
  Go: "--- FAIL: TestOne (0.01s)",
  Node: "test at test/one.test.js:3:1",
};
const names = { cargo: "faults::one", Go: "TestOne", Node: "test/one.test.js" };

for (const [runner, line] of Object.entries(runners)) {
  test(`a test of ${runner} that passes the second time is FLAKY, and only that one is repeated`, async () => {
    const { status, lines } = await suite(`
      tests() { (($#)) && { echo "only $*"; return; }; echo "${line}"; return 1; }
      check_twice suite tests
      conclude 40`);
    assert.equal(status, 0);
    assert.ok(lines.includes(`only ${names[runner]}`), lines.join("\n"));
    assert.match(lines.join("\n"), new RegExp(`^FLAKY +suite .*: ${names[runner]}$`, "m"));
    assert.equal(lines.at(-1), "1 passed, 0 failed");
  });
}

test("a second failure fails, and so does what failed without a test's name", async () => {
  const { status, lines } = await suite(`
    tests() { echo "${runners.Go}"; return 1; }
    compiler() { echo "error: does not compile"; return 1; }
    check_twice tests tests
    check_twice compiler compiler
    conclude 40`);
  assert.equal(status, 1);
  assert.equal(lines.filter((line) => line === "error: does not compile").length, 2); // once as it ran, once at the end
  assert.equal(lines.at(-1), "0 passed, 2 failed");
});

test("a unit test is never repeated", async () => {
  const { status, lines } = await suite(`
    tests() { echo "ran $#"; echo "${runners.cargo}"; return 1; }
    check unit tests
    conclude 40`);
  assert.equal(status, 1);
  assert.equal(lines.filter((line) => line === "ran 1").length, 0);
});

test("the last 40 lines say of six failures which they are and why", async () => {
  const { lines } = await suite(`
    tests() { seq 200; echo "error: reason $1"; seq 3; return 1; }
    for number in 1 2 3 4 5 6; do check "check $number" tests "$number"; done
    conclude 40`);
  const end = lines.slice(-40).join("\n");
  for (const number of [1, 2, 3, 4, 5, 6]) {
    assert.match(end, new RegExp(`^error: reason ${number}$`, "m"));
    assert.match(end, new RegExp(`^FAILED +check ${number} `, "m"));
  }
});

test("lanes run side by side, and the order of the results is that of their beginnings", async () => {
  const { status, lines } = await suite(`
    slow() { check slow sleep 1; }
    fast() { sleep 0.3; check fast true; }
    lane slow; lane fast; await_lanes
    conclude 40`);
  assert.equal(status, 0);
  const passed = lines.filter((line) => line.startsWith("passed")).map((line) => line.split(" ")[2]);
  assert.deepEqual(passed, ["slow", "fast"]);
});
