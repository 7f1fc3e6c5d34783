/** The live view's benchmarks: all of them, or those named. Exits with 1 when a promise is not kept. */
import { cost } from "./cost.js";
import { fanOut } from "./fan-out.js";
import { latency } from "./latency.js";
import { page } from "./page.js";

const BENCHMARKS = { latency, cost, "fan-out": fanOut, page };

const names = process.argv.slice(2);
for (const name of names.length > 0 ? names : Object.keys(BENCHMARKS)) {
  const benchmark = BENCHMARKS[/** @type {keyof typeof BENCHMARKS} */ (name)];
  if (!benchmark) throw new Error(`there is no benchmark ${name}: ${Object.keys(BENCHMARKS).join(", ")}`);
  process.stdout.write(`\n${name}\n`);
  await benchmark();
}
