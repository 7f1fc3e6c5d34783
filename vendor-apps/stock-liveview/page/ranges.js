/**
 * What a chart spans: the last minutes, or a range of the past, kept up to date as windows close; and the part of it that
 * one has zoomed in to. Pure.
 */
import { isRange, RANGES } from "./contract.js";
import { ascending, countWithin, medianInterval } from "./series.js";

/** @typedef {import("./store.js").Points} Points */
/** A part of a chart's time, ms. @typedef {{from: number, to: number}} Span */

/** The range of the newest windows, which the page holds already. */
export const LIVE = "live";
export const CHOICES = [
  { name: LIVE, label: "Live" },
  ...Object.entries(RANGES).map(([name, { label }]) => ({ name, label })),
];

const LIVE_MS = 5 * 60_000;
/** A company whose windows are rare shows at least this many. */
const LIVE_INTERVALS = 12;
/** A sampled history has this many points; one with fewer windows than MAX_POINTS has them all. See src/history.js. */
const SAMPLES = 240;
/** Of a sampled history: steps without a sample that make a pause. In longer ones no window closed for a whole step. */
const PAUSE_STEPS = 3;
/** Points beyond which a range loses those that are too old. */
const MAX_POINTS = 2000;
/** The shortest time that one can zoom in to. */
const MIN_SPAN_MS = 2000;

/** A range of this name, or LIVE. @param {string | undefined} name */
export function rangeOf(name) {
  return CHOICES.some((choice) => choice.name === name) ? /** @type {string} */ (name) : LIVE;
}

/** How much time a range spans, ms. @param {string} range @param {readonly number[]} times  ascending, of its windows */
export function spanOf(range, times) {
  if (isRange(range)) return RANGES[range].ms;
  return Math.max(LIVE_MS, LIVE_INTERVALS * medianInterval(times.slice(-LIVE_INTERVALS)));
}

/** Usual intervals that make a pause; undefined for as many as usual. @param {string} range @param {readonly number[]} times  ascending */
export function pauseIntervals(range, times) {
  return sampleStep(range, times) > 0 ? PAUSE_STEPS : undefined;
}

/**
 * The time between samples, ms; 0 when the points of a range are all of its windows.
 * @param {string} range @param {readonly number[]} times  ascending
 */
export function sampleStep(range, times) {
  if (!isRange(range)) return 0;
  const step = RANGES[range].ms / SAMPLES;
  const steps = medianInterval(times) / step;
  return steps > 0.8 && steps < 1.25 ? step : 0;
}

/** The newest points within a span of time. @param {Points} points @param {number} span  ms @returns {Points} with ascending times */
export function newestWithin(points, span) {
  const time = ascending(points.time);
  const count = time.length > 0 ? countWithin(time, span) : 0;
  const first = time.length - count;
  return {
    time: time.slice(first),
    avgPrice: points.avgPrice.slice(first),
    buy: points.buy.slice(first),
    sell: points.sell.slice(first),
  };
}

/**
 * The index of the first point that is newer than a history. The history is the database's and has no ids: its last
 * window is looked for by time and price.
 * @param {Points} history @param {Points} points
 */
export function firstNewer(history, points) {
  const last = history.time.length - 1;
  if (last < 0) return 0;
  for (let index = points.time.length - 1; index >= 0; index -= 1) {
    const isSame =
      points.time[index] === history.time[last] && isAlmost(points.avgPrice[index], history.avgPrice[last]);
    if (isSame) return index + 1;
  }
  // The history is older than all points (or newer). A clock that was ahead for one window does not stop the chart.
  const newest = points.time[points.time.length - 1] ?? -Infinity;
  const since = history.time.findLast((time) => time <= newest) ?? history.time[last];
  const first = points.time.findIndex((time) => time > since);
  return first < 0 ? points.time.length : first;
}

/**
 * Appends points to a range, in place. In a sampled range a new point replaces the last one until it is a sampling step
 * away from the one before.
 * @param {Points} history @param {Points} points @param {number} from  index of the first new point
 * @param {number} span  of the range, ms @param {number} step  of the samples, ms; 0 when it has all windows
 */
export function extend(history, points, from, span, step) {
  const { time, avgPrice, buy, sell } = history;
  for (let index = from; index < points.time.length; index += 1) {
    const end = time.length;
    const isClose = end >= 2 && points.time[index] - time[end - 2] < step;
    const at = isClose ? end - 1 : end;
    time[at] = points.time[index];
    avgPrice[at] = points.avgPrice[index];
    buy[at] = points.buy[index];
    sell[at] = points.sell[index];
  }
  if (time.length <= MAX_POINTS) return;
  const surplus = time.length - countWithin(ascending(time), span);
  for (const values of [time, avgPrice, buy, sell]) values.splice(0, surplus);
}

/**
 * A part of the whole, `factor` times as long, around `centre`.
 * @param {Span} view @param {Span} whole @param {number} factor  below 1 zooms in @param {number} centre  ms, stays where it is
 * @returns {Span | null} null for the whole
 */
export function zoomed(view, whole, factor, centre) {
  const length = view.to - view.from;
  const wanted = Math.max(length * factor, Math.min(MIN_SPAN_MS, length));
  const share = (centre - view.from) / length || 0;
  const from = centre - wanted * share;
  return within({ from, to: from + wanted }, whole);
}

/** The same length, `ms` later. @param {Span} view @param {Span} whole @param {number} ms */
export function panned(view, whole, ms) {
  return within({ from: view.from + ms, to: view.to + ms }, whole);
}

/** Moved so that it lies within the whole. @param {Span} view @param {Span} whole @returns {Span | null} null for the whole */
export function within(view, whole) {
  const length = view.to - view.from;
  if (!(length < whole.to - whole.from)) return null;
  const from = Math.min(Math.max(view.from, whole.from), whole.to - length);
  return { from, to: from + length };
}

/** Equal but for the rounding of histories. @param {number} a @param {number} b */
function isAlmost(a, b) {
  return Math.abs(a - b) <= 1e-4 + Math.abs(a) * 1e-9;
}
