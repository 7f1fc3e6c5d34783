// What Linux knows of processes: processor time, context switches, memory.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** A file below /proc, or nothing when the process or thread has ended. */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const threads = (pid) => {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
};

/** A process and all that descend from it. @param {number} pid @returns {number[]} */
export function tree(pid) {
  const children = threads(pid).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(tree)];
}

function fields(status, names) {
  return names.map((name) => Number(status.match(new RegExp(`^${name}:\\s*(\\d+)`, "m"))?.[1] ?? 0));
}

/**
 * A process with its children, also those that have ended and were waited for. Processor time is exact to
 * a hundredth of a second. Context switches of threads that have ended are not known.
 * @param {number} root
 * @returns {{cpuSeconds: number, contextSwitches: number, memoryBytes: number, peakBytes: number}}
 */
export function usage(root) {
  const total = { cpuSeconds: 0, contextSwitches: 0, memoryBytes: 0, peakBytes: 0 };
  for (const pid of tree(root)) {
    const stat = read(`/proc/${pid}/stat`);
    const times = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 15)
      .map(Number);
    if (times.length < 4) continue;
    total.cpuSeconds += times.reduce((a, b) => a + b) / TICKS_PER_SECOND;
    for (const thread of threads(pid)) {
      const status = read(`/proc/${pid}/task/${thread}/status`);
      const [own, forced] = fields(status, ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]);
      total.contextSwitches += own + forced;
    }
    const [resident, peak] = fields(read(`/proc/${pid}/status`), ["VmRSS", "VmHWM"]);
    total.memoryBytes += resident * 1024;
    total.peakBytes += peak * 1024;
  }
  return total;
}
