/**
 * A range of a company's past, kept up to date as windows close. Pure.
 */

/** @typedef {import("./store.js").Points} Points */

/**
 * Appends new points to a range and drops old ones at its start. In a sampled range, a new point replaces the last one
 * until it is a sampling step away from the one before.
 * @param {Points} history @param {Points} points @param {number} since @param {number} span
 * @returns {Points}
 */
export function extended(history, points, since, span) {
  const result = {
    time: [...history.time],
    avgPrice: [...history.avgPrice],
    buy: [...history.buy],
    sell: [...history.sell],
  };
  const step = span / 1000;
  points.time.forEach((time, index) => {
    if (time <= since) return;
    const end = result.time.length;
    const isClose = end >= 2 && time - result.time[end - 2] < step;
    const position = isClose ? end - 1 : end;
    result.time[position] = time;
    result.avgPrice[position] = points.avgPrice[index];
    result.buy[position] = points.buy[index];
    result.sell[position] = points.sell[index];
  });
  const newest = result.time.at(-1) ?? 0;
  const first = result.time.findIndex((time) => time > newest - span);
  return {
    time: result.time.slice(first),
    avgPrice: result.avgPrice.slice(first),
    buy: result.buy.slice(first),
    sell: result.sell.slice(first),
  };
}
