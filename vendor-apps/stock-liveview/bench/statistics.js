/** @param {number[]} values @param {number} share  from 0 to 1 */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}

/** @param {number[]} values */
export function median(values) {
  return percentile(values, 0.5);
}

/** A line of results. @param {string} name @param {string} value */
export function report(name, value) {
  process.stdout.write(`${name.padEnd(58)} ${value}\n`);
}

/** Whether a promise of the issue is kept. @param {string} promise @param {boolean} isKept */
export function verdict(promise, isKept) {
  report(`→ ${promise}`, isKept ? "kept" : "NOT KEPT");
  if (!isKept) process.exitCode = 1;
}

/** @param {number} value */
export const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
