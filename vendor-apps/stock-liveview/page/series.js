/**
 * Turns a company's points into what a chart can draw: in order of time, broken where no window closed, and no denser
 * than its pixels. Pure.
 */

import { usualInterval } from "./store.js";

/** No window for this many times the usual interval is a pause. */
const PAUSE_INTERVALS = 6;
/** Shorter ones are no pause, whatever the usual interval is. */
const MIN_PAUSE_MS = 5000;

/** A small chart shows this time before the newest window, or more where windows are rare. */
const SPAN_MS = 5 * 60_000;
const SPAN_INTERVALS = 60;
/** Values at ascending times; a null breaks the line. @typedef {{time: number[], value: (number | null)[]}} Line */

/** Lowest, average and highest value at ascending times. @typedef {{time: number[], low: (number | null)[], average: (number | null)[], high: (number | null)[]}} Band */

/**
 * Times that never go back, whatever the clocks say: the fewest times that are out of order are replaced by times
 * between their neighbours.
 * @param {readonly number[]} times  ms, in the order of the database
 * @returns {readonly number[]} the same array when they are in order
 */
export function ascending(times) {
  if (times.every((time, index) => index === 0 || times[index - 1] <= time)) return times;
  const kept = longestAscending(times);
  const result = [...times];
  let before = kept[0];
  result.fill(times[before], 0, before);
  for (const index of [...kept.slice(1), times.length]) {
    const from = times[before];
    const to = index < times.length ? times[index] : from;
    for (let between = before + 1; between < index; between += 1) {
      result[between] = from + ((to - from) * (between - before)) / (index - before);
    }
    before = index;
  }
  return result;
}

/**
 * How many of the last times lie within `span` before the last one.
 * @param {readonly number[]} times  ascending @param {number} span  ms
 */
export function countWithin(times, span) {
  const since = times[times.length - 1] - span;
  let first = times.length;
  while (first > 0 && times[first - 1] >= since) first -= 1;
  return times.length - first;
}

/**
 * The part of a company's points that a small chart shows, in order of time.
 * @param {Pick<import("./store.js").Points, "time" | "avgPrice">} points
 * @returns {{time: readonly number[], avgPrice: readonly number[]}}
 */
export function lastMinutes({ time, avgPrice }) {
  const times = ascending(time);
  const shown = countWithin(times, Math.max(SPAN_MS, SPAN_INTERVALS * usualInterval(times)));
  return { time: times.slice(-shown), avgPrice: avgPrice.slice(-shown) };
}

/**
 * The pauses between windows: where none closed for several times the usual interval.
 * @param {readonly number[]} times  ascending
 * @returns {Array<{from: number, to: number}>} ms
 */
export function pauses(times) {
  const limit = Math.max(MIN_PAUSE_MS, PAUSE_INTERVALS * usualInterval(times));
  const found = [];
  for (let index = 1; index < times.length; index += 1) {
    if (times[index] - times[index - 1] > limit) found.push({ from: times[index - 1], to: times[index] });
  }
  return found;
}

/**
 * A line that breaks at pauses.
 * @param {readonly number[]} times  ascending @param {readonly (number | null)[]} values
 * @returns {Line}
 */
export function brokenLine(times, values) {
  const starts = new Set(pauses(times).map(({ from }) => from));
  /** @type {Line} */
  const line = { time: [], value: [] };
  times.forEach((time, index) => {
    line.time.push(time);
    line.value.push(values[index]);
    const isBeforePause = starts.has(time) && times[index + 1] > time;
    if (!isBeforePause) return;
    line.time.push((time + times[index + 1]) / 2);
    line.value.push(null);
  });
  return line;
}

/**
 * Values by columns of pixels. It keeps nulls, as breaks.
 * @param {Line} line @param {number} columns  over the whole line
 * @returns {Band}
 */
export function band({ time, value }, columns) {
  /** @type {Band} */
  const result = { time: [], low: [], average: [], high: [] };
  const start = time[0];
  const width = (time[time.length - 1] - start) / Math.max(columns, 1) || 1;
  for (let index = 0; index < time.length;) {
    if (value[index] === null) {
      push(result, time[index], []);
      index += 1;
      continue;
    }
    const column = Math.floor((time[index] - start) / width);
    const values = [];
    const first = time[index];
    for (; index < time.length && Math.floor((time[index] - start) / width) === column; index += 1) {
      const one = value[index];
      if (one === null) break;
      values.push(one);
    }
    push(result, (first + time[index - 1]) / 2, values);
  }
  return result;
}

/** @param {Band} to @param {number} time @param {number[]} values */
function push(to, time, values) {
  const isBreak = values.length === 0;
  to.time.push(time);
  to.low.push(isBreak ? null : Math.min(...values));
  to.average.push(isBreak ? null : values.reduce((sum, value) => sum + value, 0) / values.length);
  to.high.push(isBreak ? null : Math.max(...values));
}

/** Indices of the longest part that never goes back, by patience sorting. @param {readonly number[]} times */
function longestAscending(times) {
  /** Index of the lowest last time of each length. @type {number[]} */
  const ends = [];
  const before = new Int32Array(times.length).fill(-1);
  times.forEach((time, index) => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[ends[middle]] <= time) low = middle + 1;
      else high = middle;
    }
    before[index] = low > 0 ? ends[low - 1] : -1;
    ends[low] = index;
  });
  const kept = [];
  for (let index = ends[ends.length - 1]; index >= 0; index = before[index]) kept.push(index);
  return kept.reverse();
}
