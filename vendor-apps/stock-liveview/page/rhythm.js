/**
 * "Around the mean": a row of bars for each company, each bar a window's distance from the mean of all.
 */
import { average, distances } from "./deviation.js";
import { find, fromTemplate, setText } from "./dom.js";
import { companyColour, withAlpha } from "./drawing.js";
import { count, distance, price } from "./format.js";
import { paint, Surface } from "./surface.js";

/** @typedef {import("./store.js").Company} Company */

/** Width of a bar, and the gap to the next, in CSS pixels. */
const BAR = 4;
const GAP = 1.5;

export class RhythmRow {
  #name;
  #colour;
  #canvas;
  #mean;
  #surface;
  /** @type {readonly number[]} */
  #prices = [];
  #revision = -1;

  /** @param {Company} company */
  constructor({ name, colour }) {
    this.element = fromTemplate("rhythm-template");
    this.element.style.setProperty("--colour", `var(${companyColour(colour)})`);
    this.#name = name;
    this.#colour = companyColour(colour);
    this.#canvas = /** @type {HTMLCanvasElement} */ (find(this.element, "canvas"));
    this.#mean = find(this.element, ".rhythm-mean");
    this.#surface = new Surface(this.#canvas, () => this.draw());
    setText(find(this.element, ".rhythm-name"), name);
  }

  /** @param {Company} company */
  show({ points: { avgPrice }, revision }) {
    if (revision === this.#revision) return;
    this.#revision = revision;
    this.#prices = avgPrice;
    this.draw();
    const middle = average(avgPrice);
    const deviation = Math.sqrt(average(avgPrice.map((value) => (value - middle) ** 2)));
    setText(this.#mean, `${price(middle)} ± ${distance(deviation, middle)}`);
    this.#canvas.setAttribute(
      "aria-label",
      `${this.#name}, ${count(avgPrice.length)} windows: mean ${price(middle)}, standard deviation ${distance(deviation, middle)}`,
    );
  }

  draw() {
    const context = this.#surface.cleared();
    if (context) drawBars(context, this.#surface, paint(this.#colour), this.#prices);
  }

  destroy() {
    this.#surface.destroy();
    this.element.remove();
  }
}

/** @param {CanvasRenderingContext2D} context @param {{width: number, height: number}} size @param {string} colour @param {readonly number[]} prices */
function drawBars(context, { width, height }, colour, prices) {
  const middle = height / 2;
  context.fillStyle = paint("--line");
  context.fillRect(0, middle - 0.5, width, 1);
  const bars = distances(prices, Math.floor(width / (BAR + GAP)));
  bars.forEach((distance, index) => {
    const length = Math.max(1, Math.abs(distance) * (middle - 1));
    const x = width - (bars.length - index) * (BAR + GAP);
    context.fillStyle = withAlpha(colour, distance >= 0 ? 0.95 : 0.42);
    context.beginPath();
    context.roundRect(x, distance >= 0 ? middle - length : middle, BAR, length, 1.5);
    context.fill();
  });
}
