/**
 * What a chart's cursor reads out, in words. Pure.
 */
import { count, price, when } from "./format.js";
import { valueAt } from "./picture.js";
import { percent } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** A line of the readout. @typedef {{line: string, name: string, text: string}} Row */

/**
 * @param {Picture} picture @param {number} index  of the column @param {number} now  ms since 1970
 * @returns {{at: string, rows: Row[]}}
 */
export function readout(picture, index, now) {
  const { time, windows, tracks } = picture;
  const several = windows[index] > 1 && tracks.length === 1 ? `, ${count(windows[index])} windows` : "";
  const at = `${when(time[index], now)}${several}`;
  return { at, rows: tracks.length > 1 ? comparedRows(picture, index) : singleRows(picture, index) };
}

/** In one sentence, for screen readers. @param {{at: string, rows: Row[]}} readout */
export function sentence({ at, rows }) {
  return `${at}: ${rows.map(({ name, text }) => `${name} ${text}`).join(", ")}`;
}

/** A compared company's change and price at a column. @param {Picture} picture @param {number} line @param {number} index */
export function comparedText({ lines, prices }, line, index) {
  const value = valueAt(prices[line], index);
  return value === undefined ? "no windows" : `${percent(valueAt(lines[line], index))}, ${price(value)}`;
}

/** @param {Picture} picture @param {number} index @returns {Row[]} */
function singleRows({ lines: [average, buy, sell], low, high }, index) {
  const isBand = low[index] !== high[index];
  return [
    { line: "average", name: "Average", value: average[index] },
    { line: "low", name: "Lowest", value: isBand ? low[index] : undefined },
    { line: "high", name: "Highest", value: isBand ? high[index] : undefined },
    { line: "buy", name: "Buy", value: buy[index] },
    { line: "sell", name: "Sell", value: sell[index] },
  ].flatMap(({ line, name, value }) => (typeof value === "number" ? [{ line, name, text: price(value) }] : []));
}

/** @param {Picture} picture @param {number} index @returns {Row[]} */
function comparedRows(picture, index) {
  return picture.tracks.map(({ name }, line) => ({
    line: String(line),
    name,
    text: comparedText(picture, line, index),
  }));
}
