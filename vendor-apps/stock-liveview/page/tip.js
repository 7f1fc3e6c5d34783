/**
 * The readout beside the chart's cursor.
 */
import { span } from "./dom.js";

/** Of the readout, about, CSS pixels: it is not measured, which would force a layout. */
const HEIGHT = 50;
const ROW = 20;
/** From the cursor, CSS pixels. */
const ASIDE = 14;
const ABOVE = 36;
const TOP = 8;

/**
 * @param {HTMLElement} tip
 * @param {{at: string, rows: import("./readout.js").Row[]}} readout
 * @param {{left: number, top: number, isRight: boolean, height: number}} place  of the cursor, and the chart's height
 * @param {readonly string[]} colours  of the companies that are compared
 */
export function showTip(tip, { at, rows }, { left, top, isRight, height }, colours) {
  tip.replaceChildren(span("tip-time", at), ...rows.map((row) => tipRow(row, colours)));
  const lowest = height - HEIGHT - ROW * rows.length;
  const y = Math.max(Math.min(Math.round(top) - ABOVE, lowest), TOP);
  const x = Math.round(left);
  tip.style.transform = isRight
    ? `translate(calc(${x - ASIDE}px - 100%), ${y}px)`
    : `translate(${x + ASIDE}px, ${y}px)`;
}

/** @param {import("./readout.js").Row} row @param {readonly string[]} colours */
function tipRow({ line, name, text }, colours) {
  const row = span("tip-row", name);
  row.dataset.line = line;
  const own = colours[Number(line)];
  if (own) row.style.setProperty("--colour", `var(${own})`);
  row.append(span("tip-value", text));
  return row;
}
