/**
 * The small chart of a card or a row: the last minutes of a company's averages.
 */
import { withAlpha } from "./drawing.js";
import { band, brokenLine, lastMinutes } from "./series.js";
import { paint, Surface } from "./surface.js";

/** @typedef {import("./store.js").Points} Points */

/** Room for the dot at the newest point and for the line's width, in CSS pixels. */
const DOT_ROOM = 9;
const LINE_ROOM = 2;

export class Sparkline {
  #surface;
  #isFilled;
  /** @type {ReturnType<typeof lastMinutes> | undefined} */
  #shown;
  #colour = "";

  /** @param {HTMLCanvasElement} canvas @param {{isFilled: boolean}} options  whether it has an area below, and a dot */
  constructor(canvas, { isFilled }) {
    this.#isFilled = isFilled;
    this.#surface = new Surface(canvas, () => this.draw());
  }

  /** @param {Points} points @param {string} colour  name of its property @returns {ReturnType<typeof lastMinutes>} what is shown */
  show(points, colour) {
    this.#shown = lastMinutes(points);
    this.#colour = colour;
    this.draw();
    return this.#shown;
  }

  release() {
    this.#surface.release();
  }

  destroy() {
    this.#surface.destroy();
  }

  draw() {
    if (!this.#shown) return;
    const context = this.#surface.cleared();
    if (!context || this.#shown.time.length === 0) return;
    const { width, height } = this.#surface;
    const { time, avgPrice } = this.#shown;
    const right = width - (this.#isFilled ? DOT_ROOM : LINE_ROOM);
    const columns = band(brokenLine(time, avgPrice), right);
    const place = scales(columns, right, height);
    const colour = paint(this.#colour);
    if (this.#isFilled) drawArea(context, columns, place, colour, width, height);
    drawBand(context, columns, place, colour);
    drawLine(context, columns, place, colour, this.#isFilled ? 2 : 1.5);
    if (this.#isFilled) drawDot(context, columns, place, colour);
  }
}

/** @typedef {import("./series.js").Band} Band */
/** @typedef {{x: (time: number) => number, y: (value: number) => number}} Place */

/** @param {Band} columns @param {number} right @param {number} height @returns {Place} */
function scales({ time, low, high }, right, height) {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < low.length; index += 1) {
    const [least, most] = [low[index], high[index]];
    if (least !== null && least < lowest) lowest = least;
    if (most !== null && most > highest) highest = most;
  }
  const start = time[0];
  const span = time[time.length - 1] - start;
  const room = height * 0.14;
  // Halves: the difference of huge numbers may be infinite.
  const half = highest / 2 - lowest / 2;
  return {
    x: (at) => (span > 0 ? (right * (at - start)) / span : right),
    y: (value) => (half > 0 ? room + (height - 2 * room) * ((highest / 2 - value / 2) / half) : height / 2),
  };
}

/** Index ranges between breaks. @param {Band} columns @returns {Array<[from: number, to: number]>} */
function parts({ average }) {
  /** @type {Array<[number, number]>} */
  const found = [];
  let from = -1;
  average.forEach((value, index) => {
    if (value !== null && from < 0) from = index;
    if (value === null && from >= 0) {
      found.push([from, index - 1]);
      from = -1;
    }
  });
  if (from >= 0) found.push([from, average.length - 1]);
  return found;
}

/** @param {CanvasRenderingContext2D} context @param {Band} columns @param {Place} place @param {string} colour @param {number} lineWidth */
function drawLine(context, columns, { x, y }, colour, lineWidth) {
  const { time, average } = columns;
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = lineWidth;
  context.lineJoin = "round";
  context.lineCap = "round";
  context.beginPath();
  for (const [from, to] of parts(columns)) {
    // A window between two pauses.
    if (from === to)
      context.arc(x(time[from]), y(/** @type {number} */ (average[from])), lineWidth / 2, 0, 2 * Math.PI);
    context.moveTo(x(time[from]), y(/** @type {number} */ (average[from])));
    for (let index = from; index <= to; index += 1)
      context.lineTo(x(time[index]), y(/** @type {number} */ (average[index])));
  }
  context.stroke();
}

/** From the lowest to the highest where several windows share a pixel. @param {CanvasRenderingContext2D} context @param {Band} columns @param {Place} place @param {string} colour */
function drawBand(context, columns, { x, y }, colour) {
  const { time, low, high } = columns;
  if (low.every((value, index) => value === high[index])) return;
  context.fillStyle = withAlpha(colour, 0.28);
  context.beginPath();
  for (const [from, to] of parts(columns)) {
    context.moveTo(x(time[from]), y(/** @type {number} */ (high[from])));
    for (let index = from + 1; index <= to; index += 1)
      context.lineTo(x(time[index]), y(/** @type {number} */ (high[index])));
    for (let index = to; index >= from; index -= 1)
      context.lineTo(x(time[index]), y(/** @type {number} */ (low[index])));
    context.closePath();
  }
  context.fill();
}

/** The area below reaches the card's edge. @param {CanvasRenderingContext2D} context @param {Band} columns @param {Place} place @param {string} colour @param {number} width @param {number} height */
function drawArea(context, columns, { x, y }, colour, width, height) {
  const { time, average } = columns;
  const gradient = context.createLinearGradient(0, 0, 0, height);
  gradient.addColorStop(0, withAlpha(colour, 0.26));
  gradient.addColorStop(1, withAlpha(colour, 0));
  context.fillStyle = gradient;
  context.beginPath();
  for (const [from, to] of parts(columns)) {
    const isLast = to === average.length - 1;
    context.moveTo(x(time[from]), height);
    for (let index = from; index <= to; index += 1)
      context.lineTo(x(time[index]), y(/** @type {number} */ (average[index])));
    if (isLast) context.lineTo(width, y(/** @type {number} */ (average[to])));
    context.lineTo(isLast ? width : x(time[to]), height);
    context.closePath();
  }
  context.fill();
}

/** A dot at the newest point. @param {CanvasRenderingContext2D} context @param {Band} columns @param {Place} place @param {string} colour */
function drawDot(context, { time, average }, { x, y }, colour) {
  const last = average.length - 1;
  const value = average[last];
  if (value === null) return;
  for (const [radius, alpha] of [
    [7, 0.2],
    [3.5, 1],
  ]) {
    context.beginPath();
    context.arc(x(time[last]), y(value), radius, 0, 2 * Math.PI);
    context.fillStyle = withAlpha(colour, alpha);
    context.fill();
  }
}
