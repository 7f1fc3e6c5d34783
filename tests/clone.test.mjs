// What any clone can do, wherever and however it was made.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./lib/stockmarket.mjs";

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
