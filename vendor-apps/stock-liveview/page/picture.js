/**
 * What a chart shows: columns of windows over time, no denser than its pixels, and the pauses between them. Pure.
 */
import { newestWithin, pauseIntervals, spanOf } from "./ranges.js";
import { ascending, columnsOf, columnWidth, commonPauses, pauses, summary } from "./series.js";

/** @typedef {import("./store.js").Points} Points */
/** @typedef {import("./ranges.js").Span} Span */
/** A company's points. @typedef {{name: string, points: Points}} Track */

/**
 * Values of a line, one for each column. null breaks the line; undefined is no value there, and the line goes on.
 * @typedef {(number | null | undefined)[]} Values
 */

/**
 * @typedef {object} Picture
 * @property {Span} whole            all that the chart can show
 * @property {number[]} time         of each column, ms, ascending
 * @property {boolean[]} isBreak     whether a column only marks a pause
 * @property {number[]} windows      how many windows are in each column
 * @property {Values[]} lines        one company: average, buy, sell; several: the change of each from its start, percent
 * @property {Values[]} prices       several: the average price of each
 * @property {Values} low            one company: the lowest average of each column
 * @property {Values} high           and the highest
 * @property {import("./series.js").Pause[]} pauses
 * @property {Track[]} tracks        the points behind it, as far as the chart spans
 */

/**
 * @typedef {object} Scope
 * @property {string} range
 * @property {Span | null} view    the part that is visible; null for all
 * @property {number} columns      how many fit beside each other
 */

/** One company's averages, with those of buys and sells. @param {Track} track @param {Scope} scope @returns {Picture} */
export function single({ name, points: all }, { range, view, columns }) {
  const points = newestWithin(all, spanOf(range, ascending(all.time)));
  const { time } = points;
  const whole = wholeOf([time]);
  const found = pauses(time, pauseIntervals(range, time));
  const starts = new Set(found.map(({ from }) => from));
  const width = widthOf([time], view ?? whole, columns);

  /** @type {Picture} */
  const picture = empty(3, whole);
  picture.pauses = found;
  picture.tracks = [{ name, points }];
  for (const column of columnsOf(time, width, found)) {
    const { first, last } = column;
    const { low, average, high } = summary(points.avgPrice, column) ?? {};
    picture.time.push((time[first] + time[last]) / 2);
    picture.isBreak.push(false);
    picture.windows.push(last - first + 1);
    picture.low.push(low);
    picture.high.push(high);
    picture.lines[0].push(average);
    picture.lines[1].push(summary(points.buy, column)?.average);
    picture.lines[2].push(summary(points.sell, column)?.average);
    const isBeforePause = starts.has(time[last]) && time[last + 1] > time[last];
    if (!isBeforePause) continue;
    picture.time.push((time[last] + time[last + 1]) / 2);
    picture.isBreak.push(true);
    picture.windows.push(0);
    for (const values of [picture.low, picture.high, ...picture.lines]) values.push(null);
  }
  return picture;
}

/**
 * Several companies, each as its change from the first window in the range. They share columns, so that one can read
 * all at one time.
 * @param {readonly Track[]} tracks @param {Scope} scope
 * @returns {Picture}
 */
export function comparison(tracks, { range, view, columns }) {
  const shown = inSameSpan(tracks, range);
  const times = shown.map(({ points }) => points.time);
  const picture = empty(shown.length, wholeOf(times));
  picture.tracks = shown;
  const found = times.map((time) => pauses(time, pauseIntervals(range, time)));
  picture.pauses = commonPauses(found.filter((_, line) => times[line].length > 0));

  const { from, to } = view ?? picture.whole;
  const width = columnWidth(to - from, columns);
  const middleOf = (/** @type {number} */ at) => (Math.floor(at / width) + 0.5) * width;
  // From column to column. A pause within one is not seen.
  const breaks = found.map((list) =>
    list
      .map((pause) => ({ from: middleOf(pause.from), to: middleOf(pause.to) }))
      .filter((pause) => pause.to > pause.from),
  );
  const middles = breaks.flat().map((pause) => (pause.from + pause.to) / 2);
  picture.time = [...new Set([...times.flat().map(middleOf), ...middles])].sort((a, b) => a - b);
  picture.windows = picture.time.map(() => 0);
  const indexOf = new Map(picture.time.map((at, index) => [at, index]));
  shown.forEach(({ points }, line) => {
    picture.lines[line] = picture.time.map(() => undefined);
    picture.prices[line] = picture.time.map(() => undefined);
    for (const column of columnsOf(points.time, width, [])) {
      const index = /** @type {number} */ (indexOf.get(middleOf(points.time[column.first])));
      const price = /** @type {number} */ (summary(points.avgPrice, column)?.average);
      picture.prices[line][index] = price;
      picture.lines[line][index] = percentChange(points.avgPrice[0], price);
      picture.windows[index] += column.last - column.first + 1;
    }
    breakAt(breaks[line], picture, line);
  });
  picture.isBreak = picture.windows.map((count) => count === 0);
  return picture;
}

/**
 * The column to read at a time, which is none that only marks a pause.
 * @param {Picture} picture @param {number} at  ms
 * @returns {number} -1 when there is none
 */
export function nearest({ time, isBreak }, at) {
  let best = -1;
  for (let index = 0; index < time.length; index += 1) {
    if (isBreak[index]) continue;
    if (best < 0 || Math.abs(time[index] - at) < Math.abs(time[best] - at)) best = index;
  }
  return best;
}

/** The index `steps` columns away, over pauses, as far as there are any. @param {Picture} picture @param {number} index @param {number} steps */
export function moved({ time, isBreak }, index, steps) {
  const direction = Math.sign(steps);
  let result = index;
  let left = Math.abs(steps);
  for (let at = index + direction; left > 0 && at >= 0 && at < time.length; at += direction) {
    if (isBreak[at]) continue;
    result = at;
    left -= 1;
  }
  return result;
}

/** The last column up to `index` where a line has a value, or breaks. @param {Values} values @param {number} index */
export function lastIndex(values, index) {
  let at = index;
  while (at > 0 && values[at] === undefined) at -= 1;
  return at;
}

/** A line's value at a column, or its last one before it in the same stretch. @param {Values} values @param {number} index */
export function valueAt(values, index) {
  return values[lastIndex(values, index)] ?? undefined;
}

/** undefined when there is none: from 0. @param {number} from @param {number} to */
function percentChange(from, to) {
  return from === 0 ? undefined : ((to - from) / Math.abs(from)) * 100;
}

/** @param {number} lines @param {Span} whole @returns {Picture} */
function empty(lines, whole) {
  return {
    whole,
    time: [],
    isBreak: [],
    windows: [],
    lines: Array.from({ length: lines }, () => []),
    prices: [],
    low: [],
    high: [],
    pauses: [],
    tracks: [],
  };
}

/** @param {readonly (readonly number[])[]} times */
function wholeOf(times) {
  const filled = times.filter((time) => time.length > 0);
  if (filled.length === 0) return { from: 0, to: 0 };
  return {
    from: Math.min(...filled.map((time) => time[0])),
    to: Math.max(...filled.map((time) => time[time.length - 1])),
  };
}

/** Of a column, ms; 0 when the windows are no denser than the pixels. @param {readonly (readonly number[])[]} times @param {Span} view @param {number} columns */
function widthOf(times, { from, to }, columns) {
  const count = times.reduce((sum, time) => sum + time.filter((at) => at >= from && at <= to).length, 0);
  return count > columns ? columnWidth(to - from, columns) : 0;
}

/** The parts of several companies' points that lie in the range before the newest window of all. @param {readonly Track[]} tracks @param {string} range @returns {Track[]} */
function inSameSpan(tracks, range) {
  const times = tracks.map(({ points }) => ascending(points.time));
  const end = Math.max(...times.map((time) => time.at(-1) ?? -Infinity));
  const span = Math.max(...times.map((time) => spanOf(range, time)));
  return tracks.map(({ name, points }) => ({ name, points: since(newestWithin(points, span), end - span) }));
}

/** @param {Points} points @param {number} from  ms @returns {Points} */
function since({ time, avgPrice, buy, sell }, from) {
  const found = time.findIndex((at) => at >= from);
  const first = found < 0 ? time.length : found;
  return { time: time.slice(first), avgPrice: avgPrice.slice(first), buy: buy.slice(first), sell: sell.slice(first) };
}

/** Breaks a line where its company paused. @param {import("./series.js").Pause[]} gaps @param {Picture} picture @param {number} line */
function breakAt(gaps, picture, line) {
  for (const { from, to } of gaps) {
    picture.time.forEach((at, index) => {
      if (at > from && at < to && picture.lines[line][index] === undefined) {
        picture.lines[line][index] = null;
        picture.prices[line][index] = null;
      }
    });
  }
}
