// On what, and with what, something was measured.
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { root } from "./programs.mjs";
import { run } from "./processes.mjs";

const line = async (...command) => (await run(command, { cwd: root }).catch(() => "unknown")).split("\n")[0];

export function machine() {
  const system = readFileSync("/etc/os-release", "utf8").match(/^PRETTY_NAME="?([^"\n]*)/m)?.[1];
  return {
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    system,
    kernel: release(),
  };
}

export async function versions() {
  const tools = join(root, ".local/tools");
  const isChanged = (await run(["git", "status", "--porcelain"], { cwd: root }).catch(() => "")) !== "";
  return {
    stockmarket: (await line("git", "rev-parse", "--short=12", "HEAD")) + (isChanged ? " with changes" : ""),
    rabbitmq: readFileSync(join(tools, "rabbitmq-version"), "utf8").trim(),
    mongodb: (await line(join(tools, "bin/mongod"), "--version")).replace("db version v", ""),
    rust: (await line("rustc", "--version")).split(" ")[1],
    go: (await line("go", "env", "GOVERSION")).replace("go", ""),
    node: process.versions.node,
    python: (await line("python3", "--version")).split(" ")[1],
  };
}
