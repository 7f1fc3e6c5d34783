/**
 * How far prices are from their mean. Pure.
 */

/**
 * Distances of the newest prices from the mean of all, scaled so that the farthest one shown is 1 or -1.
 * @param {readonly number[]} prices @param {number} limit
 */
export function distances(prices, limit) {
  const mean = average(prices);
  const visible = prices.slice(-limit).map((price) => price - mean);
  const farthest = Math.max(...visible.map(Math.abs), Number.MIN_VALUE);
  return visible.map((distance) => distance / farthest);
}

/** @param {readonly number[]} values @returns {number} the mean; 0 when there are none */
export function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
}
