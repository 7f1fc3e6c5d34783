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
/** Intervals on each side of one that tell what is usual there. */
const NEIGHBOURS = 10;
/** Fewer tell nothing. */
const MIN_NEIGHBOURS = 3;
/** Widths of columns, in a power of ten. */
const STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

/** Values at ascending times; a null breaks the line. @typedef {{time: number[], value: (number | null)[]}} Line */

/** Lowest, average and highest value at ascending times. @typedef {{time: number[], low: (number | null)[], average: (number | null)[], high: (number | null)[]}} Band */

/** Where no window closed: after the one at `from`, until the one at `to`, ms. @typedef {{from: number, to: number}} Pause */

/** Neighbouring windows that are drawn as one: the indices of the first and the last. @typedef {{first: number, last: number}} Column */

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

/** The median interval, ms; 0 when there are fewer than two times. @param {readonly number[]} times  ascending */
export function medianInterval(times) {
  return median(times.slice(1).map((time, index) => time - times[index]));
}

/**
 * The pauses between windows: where none closed for several times the usual interval. What is usual may differ from part
 * to part, as when windows became larger.
 * @param {readonly number[]} times  ascending
 * @param {number} [intervals]  usual intervals that make a pause
 * @returns {Pause[]}
 */
export function pauses(times, intervals = PAUSE_INTERVALS) {
  const limit = Math.max(MIN_PAUSE_MS, intervals * medianInterval(times));
  const found = [];
  for (let index = 1; index < times.length; index += 1) {
    const interval = times[index] - times[index - 1];
    if (interval > limit && interval > intervals * usualAround(times, index)) {
      found.push({ from: times[index - 1], to: times[index] });
    }
  }
  return found;
}

/**
 * The pauses that all have in common.
 * @param {readonly Pause[][]} lists  of pauses, each ascending
 * @returns {Pause[]}
 */
export function commonPauses(lists) {
  const [first = [], ...others] = lists;
  return others.reduce(
    (common, list) =>
      common.flatMap(({ from, to }) =>
        list
          .map((pause) => ({ from: Math.max(from, pause.from), to: Math.min(to, pause.to) }))
          .filter((pause) => pause.to > pause.from),
      ),
    first,
  );
}

/**
 * A width of columns that does not change with each new window, so that columns stay where they are.
 * @param {number} span  ms @param {number} columns  how many fit
 */
export function columnWidth(span, columns) {
  const least = Math.max(span / Math.max(columns, 1), 1);
  const power = 10 ** Math.floor(Math.log10(least));
  return power * /** @type {number} */ (STEPS.find((step) => step * power >= least * (1 - 1e-9)));
}

/**
 * Windows by columns of pixels. A pause ends a column.
 * @param {readonly number[]} times  ascending
 * @param {number} width  of a column, ms; 0 for one column for each window
 * @param {readonly Pause[]} between  the pauses
 * @returns {Column[]}
 */
export function columnsOf(times, width, between) {
  const starts = new Set(between.map(({ from }) => from));
  /** @type {Column[]} */
  const columns = [];
  for (let first = 0; first < times.length; first += 1) {
    let last = first;
    while (
      width > 0 &&
      last + 1 < times.length &&
      Math.floor(times[last + 1] / width) === Math.floor(times[first] / width) &&
      !(starts.has(times[last]) && times[last + 1] > times[last])
    ) {
      last += 1;
    }
    columns.push({ first, last });
    first = last;
  }
  return columns;
}

/**
 * The lowest, the average and the highest of a column's values; undefined when it has none.
 * @param {readonly (number | null)[]} values @param {Column} column
 */
export function summary(values, { first, last }) {
  let low = Infinity;
  let high = -Infinity;
  let sum = 0;
  let count = 0;
  for (let index = first; index <= last; index += 1) {
    const value = values[index];
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    sum += value;
    count += 1;
  }
  // One value stays exactly what it is.
  return count === 0 ? undefined : { low, average: low === high ? low : sum / count, high };
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
 * A line by columns of pixels. It keeps nulls, as breaks.
 * @param {Line} line @param {number} columns  over the whole line
 * @returns {Band}
 */
export function band({ time, value }, columns) {
  /** @type {Band} */
  const result = { time: [], low: [], average: [], high: [] };
  const isDense = time.length > columns;
  const width = isDense ? columnWidth(time[time.length - 1] - time[0], columns) : 0;
  /** @type {Pause[]} */
  const breaks = [];
  value.forEach((one, index) => {
    if (one !== null) return;
    // A null has a column of its own.
    if (index > 0) breaks.push({ from: time[index - 1], to: time[index] });
    if (index < time.length - 1) breaks.push({ from: time[index], to: time[index + 1] });
  });
  for (const column of columnsOf(time, width, breaks)) {
    const { low = null, average = null, high = null } = summary(value, column) ?? {};
    result.time.push((time[column.first] + time[column.last]) / 2);
    result.low.push(low);
    result.average.push(average);
    result.high.push(high);
  }
  return result;
}

/**
 * The usual interval before and after one, the longer of both: where windows become rarer or more frequent is no pause.
 * @param {readonly number[]} times @param {number} index  of the time that ends the interval
 */
function usualAround(times, index) {
  /** @type {number[][]} */
  const sides = [[], []];
  const end = Math.min(index + NEIGHBOURS, times.length - 1);
  for (let at = Math.max(index - NEIGHBOURS, 1); at <= end; at += 1) {
    if (at !== index) sides[at < index ? 0 : 1].push(times[at] - times[at - 1]);
  }
  const telling = sides.filter(({ length }) => length >= MIN_NEIGHBOURS);
  return telling.length > 0 ? Math.max(...telling.map(median)) : median(sides.flat());
}

/** @param {number[]} values @returns {number} 0 when there are none */
function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0;
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
