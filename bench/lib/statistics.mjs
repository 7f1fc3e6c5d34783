/** The smallest value that this share of all values does not exceed. @param {number[]} values @param {number} share from 0 to 1 */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** @param {number[]} values */
export const median = (values) => percentile(values, 0.5);

/** @param {number[]} values */
export const sum = (values) => values.reduce((a, b) => a + b, 0);

/** The median of each number of equal objects. @param {Record<string, number>[]} measured */
export function medians(measured) {
  const names = Object.keys(measured[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, median(measured.map((one) => one[name]))]));
}
