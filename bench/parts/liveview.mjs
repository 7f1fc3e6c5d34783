// Does the live view keep what it promises? Its own benchmarks, each line a figure.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { run } from "../lib/processes.mjs";
import { root } from "../lib/programs.mjs";

export const title = "The live view";

const FIGURE = /^(.{1,58}) +(.+)$/;

export async function measure({ progress }) {
  const names = (process.env.LIVEVIEW ?? "").split(/[\s,]+/).filter(Boolean);
  await run([join(root, "scripts/install"), "browser"]);
  const bench = spawn(process.execPath, [join(root, "vendor-apps/stock-liveview/bench/main.js"), ...names], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = () => bench.kill("SIGTERM");
  process.once("exit", stop);
  const sections = [];
  let text = "";
  bench.stdout.setEncoding("utf8").on("data", (piece) => {
    const lines = (text + piece).split("\n");
    text = lines.pop();
    for (const line of lines.filter(Boolean)) {
      progress(line);
      const [, name, value] = line.match(FIGURE) ?? [];
      if (name) sections.at(-1)?.figures.push([name.trim(), value.trim()]);
      else sections.push({ name: line, figures: [] });
    }
  });
  await once(bench, "close");
  process.off("exit", stop);
  // It ends with 1 when a promise is not kept: the table says which.
  if (bench.exitCode !== 0 && !sections.some(({ figures }) => figures.some(([, value]) => value === "NOT KEPT"))) {
    throw new Error(`the live view's benchmarks ended with ${bench.exitCode ?? bench.signalCode}`);
  }
  return { sections };
}

export function render({ sections }) {
  return {
    tables: sections.map(({ name, figures }) => ({ title: name, columns: ["", "figure"], rows: figures })),
    plots: [],
  };
}
