/**
 * A row of bars: each window's distance from the mean, above or below the middle.
 */
import { colour, follow, onSchemeChange, withAlpha } from "./drawing.js";

/** Width of a bar, and the gap to the next, in CSS pixels. */
const BAR = 4;
const GAP = 1.5;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {string} colourName
 * @returns {(prices: number[]) => void} shows new prices
 */
export function rhythm(canvas, colourName) {
  /** @type {number[]} */
  let shown = [];
  const draw = () => {
    if (canvas.clientWidth > 0) drawBars(canvas, colourName, shown);
  };
  follow(canvas, draw);
  onSchemeChange(draw);
  return (prices) => {
    shown = prices;
    draw();
  };
}

/** @param {HTMLCanvasElement} canvas @param {string} colourName @param {number[]} prices */
function drawBars(canvas, colourName, prices) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const context = cleared(canvas, width, height);
  const middle = height / 2;
  context.fillStyle = colour("--line");
  context.fillRect(0, middle - 0.5, width, 1);

  const base = colour(colourName);
  const bars = distances(prices, Math.floor(width / (BAR + GAP)));
  bars.forEach((distance, index) => {
    const length = Math.max(1, Math.abs(distance) * (middle - 1));
    const x = width - (bars.length - index) * (BAR + GAP);
    context.fillStyle = withAlpha(base, distance >= 0 ? 0.95 : 0.42);
    context.beginPath();
    context.roundRect(x, distance >= 0 ? middle - length : middle, BAR, length, 1.5);
    context.fill();
  });
}

/** An empty drawing area in CSS pixels, sharp on any screen. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function cleared(canvas, width, height) {
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(devicePixelRatio, devicePixelRatio);
  return context;
}

/**
 * Distances of the newest prices from the mean of all, scaled so that the farthest one shown is 1 or -1.
 * @param {number[]} prices @param {number} limit
 */
export function distances(prices, limit) {
  const mean = average(prices);
  const visible = prices.slice(-limit).map((price) => price - mean);
  const farthest = Math.max(...visible.map(Math.abs), Number.MIN_VALUE);
  return visible.map((distance) => distance / farthest);
}

/** @param {number[]} values @returns {number} the mean; 0 when there are none */
export function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
}
