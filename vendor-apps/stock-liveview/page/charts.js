/**
 * Charts: thin wrappers around uPlot, which draws them, and the rows of bars, which are drawn here.
 */
import { price, when } from "./format.js";

/** @typedef {import("./store.js").Points} Points */

const PALETTE_SIZE = 8;
const FONT = '12px "Geist Variable", system-ui, sans-serif';

/** A colour of the style sheet as it is now, light or dark. @param {string} name */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** @param {number} index */
export function companyColour(index) {
  return `--company-${index % PALETTE_SIZE}`;
}

/** With dark mode come other colours. @param {() => void} redraw */
function onSchemeChange(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/** Keeps a chart as large as its place. @param {HTMLElement} place @param {(width: number, height: number) => void} resize */
function follow(place, resize) {
  const observer = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width > 0) resize(Math.round(contentRect.width), Math.round(contentRect.height));
  });
  observer.observe(place);
}

/** Room above and below the line, also when it is flat. @param {number} low @param {number} high @returns {[number, number]} */
function withRoom(low, high) {
  const room = (high - low) * 0.14 || Math.abs(high) * 0.001 || 1;
  return [low - room, high + room];
}

/** The line's colour, fading out towards the bottom. @param {string} name @param {number} [strength] */
function fade(name, strength = 0.26) {
  /** @param {uPlot} chart */
  return (chart) => {
    const { top, height } = chart.bbox;
    if (!Number.isFinite(top) || !Number.isFinite(height)) return "transparent";
    const gradient = chart.ctx.createLinearGradient(0, top, 0, top + height);
    const base = colour(name);
    gradient.addColorStop(0, withAlpha(base, strength));
    gradient.addColorStop(1, withAlpha(base, 0));
    return gradient;
  };
}

/** @param {string} hex  #rrggbb @param {number} alpha */
function withAlpha(hex, alpha) {
  const byte = Math.round(alpha * 255)
    .toString(16)
    .padStart(2, "0");
  return `${hex}${byte}`;
}

/**
 * A card's chart: the line alone, with a dot at its newest point.
 * @param {HTMLElement} place
 * @param {string} colourName
 * @returns {(points: Points) => void} shows other points
 */
export function sparkline(place, colourName) {
  const chart = new uPlot(
    {
      width: place.clientWidth || 300,
      height: place.clientHeight || 120,
      padding: [8, 0, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      select: { show: false, left: 0, top: 0, width: 0, height: 0 },
      axes: [{ show: false }, { show: false }],
      scales: { x: { time: false }, y: { range: (_, low, high) => withRoom(low, high) } },
      series: [
        {},
        { fill: fade(colourName), points: { show: false } },
        { stroke: () => colour(colourName), width: 2, points: { show: false } },
      ],
      hooks: { draw: [(drawn) => drawNewest(drawn, colourName)] },
    },
    [[], [], []],
    place,
  );
  follow(place, (width, height) => chart.setSize({ width, height }));
  onSchemeChange(() => chart.redraw(false));
  return ({ time, avgPrice }) => {
    // The area goes on to the card's edge, so that the dot at the line's end has room.
    const edge = time[time.length - 1] + (time[time.length - 1] - time[0]) * 0.035;
    chart.setData([
      [...time, edge],
      [...avgPrice, avgPrice[avgPrice.length - 1]],
      [...avgPrice, null],
    ]);
  };
}

/** @param {uPlot} chart @param {string} colourName */
function drawNewest(chart, colourName) {
  const [times, prices] = chart.data;
  const last = times.length - 2;
  if (last < 0) return;
  const x = chart.valToPos(times[last], "x", true);
  const y = chart.valToPos(/** @type {number} */ (prices[last]), "y", true);
  const unit = devicePixelRatio;
  const { ctx } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.arc(x, y, 7 * unit, 0, 2 * Math.PI);
  ctx.fillStyle = withAlpha(colour(colourName), 0.2);
  ctx.fill();
  ctx.beginPath();
  ctx.arc(x, y, 3.5 * unit, 0, 2 * Math.PI);
  ctx.fillStyle = colour(colourName);
  ctx.fill();
  ctx.restore();
}

/**
 * A row of bars: each window's distance from the mean, above or below the middle.
 * @param {HTMLCanvasElement} canvas
 * @param {string} colourName
 * @returns {(prices: number[]) => void} shows other prices
 */
export function rhythm(canvas, colourName) {
  const BAR = 4;
  const GAP = 1.5;
  /** @type {number[]} */
  let shown = [];
  const draw = () => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0) return;
    const unit = devicePixelRatio;
    canvas.width = Math.round(width * unit);
    canvas.height = Math.round(height * unit);
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.scale(unit, unit);
    const middle = height / 2;
    context.fillStyle = colour("--line");
    context.fillRect(0, middle - 0.5, width, 1);

    const mean = average(shown);
    const visible = shown.slice(-Math.floor(width / (BAR + GAP)));
    const farthest = Math.max(...visible.map((value) => Math.abs(value - mean)), Number.MIN_VALUE);
    const base = colour(colourName);
    visible.forEach((value, index) => {
      const distance = (value - mean) / farthest;
      const length = Math.max(1, Math.abs(distance) * (middle - 1));
      const x = width - (visible.length - index) * (BAR + GAP);
      context.fillStyle = withAlpha(base, distance >= 0 ? 0.95 : 0.42);
      context.beginPath();
      context.roundRect(x, distance >= 0 ? middle - length : middle, BAR, length, 1.5);
      context.fill();
    });
  };
  follow(canvas, draw);
  onSchemeChange(draw);
  return (prices) => {
    shown = prices;
    draw();
  };
}

/** @param {number[]} values */
export function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
}

/**
 * The detail view's chart: axes, a cursor that reads values by mouse, finger or keyboard, a drag that zooms in.
 * @param {HTMLElement} place
 * @param {string} colourName
 * @param {object} listeners
 * @param {(index: number | null, left: number, top: number) => void} listeners.onCursor  place in CSS pixels of `place`
 * @param {(isZoomed: boolean) => void} listeners.onZoom
 */
export function bigChart(place, colourName, { onCursor, onZoom }) {
  let isZoomed = false;
  /** @param {string} name @param {number} width @param {number} [alpha] @returns {uPlot.Series} */
  const line = (name, width, alpha = 1) => ({
    stroke: () => withAlpha(colour(name), alpha),
    width,
    spanGaps: true,
    points: { show: false },
  });
  /** @type {uPlot.Axis} */
  const axis = {
    stroke: () => colour("--text-soft"),
    font: FONT,
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { show: false },
  };
  const chart = new uPlot(
    {
      width: place.clientWidth || 600,
      height: place.clientHeight || 360,
      padding: [12, 26, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: {
          size: 9,
          stroke: () => colour("--surface"),
          width: 2,
          fill: (self, index) =>
            /** @type {(chart: uPlot, index: number) => string} */ (self.series[index].stroke)(self, index),
        },
      },
      scales: { x: { time: true }, y: { range: (_, low, high) => withRoom(low, high) } },
      axes: [
        {
          ...axis,
          space: 76,
          size: 30,
          gap: 8,
          values: (_, splits, __, ___, step) => splits.map((at) => tick(at, step)),
          grid: { show: false },
        },
        { ...axis, size: 64, gap: 8, values: (_, splits) => splits.map((value) => price(value)) },
      ],
      series: [
        {},
        line("--buy", 1, 0.75),
        line("--sell", 1, 0.75),
        { ...line(colourName, 2), fill: fade(colourName, 0.2) },
      ],
      hooks: {
        setCursor: [
          ({ cursor: { idx, left }, data, valToPos, over }) => {
            const value = typeof idx === "number" && Number(left) >= 0 ? data[3][idx] : undefined;
            if (typeof value !== "number" || typeof idx !== "number") onCursor(null, 0, 0);
            else onCursor(idx, valToPos(data[0][idx], "x") + over.offsetLeft, valToPos(value, "y") + over.offsetTop);
          },
        ],
        setSelect: [
          (self) => {
            const { left, width } = self.select;
            if (width < 8) return;
            isZoomed = true;
            onZoom(true);
            self.setScale("x", { min: self.posToVal(left, "x"), max: self.posToVal(left + width, "x") });
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
      },
    },
    [[], [], [], []],
    place,
  );
  follow(place, (width, height) => chart.setSize({ width, height }));
  onSchemeChange(() => chart.redraw(false));

  return {
    /** @param {Points} points */
    show({ time, avgPrice, buy, sell }) {
      const seconds = time.map((at) => at / 1000);
      const { idx } = chart.cursor;
      chart.setData([seconds, buy, sell, avgPrice], !isZoomed);
      // With the data, the chart forgets where the keyboard was.
      if (typeof idx === "number" && place.matches(":focus-visible")) this.moveTo(idx);
    },
    /** @param {number} index */
    moveTo(index) {
      const [times, , , averages] = chart.data;
      if (index < 0 || index >= times.length) return;
      chart.setCursor({
        left: chart.valToPos(times[index], "x"),
        top: chart.valToPos(/** @type {number} */ (averages[index]), "y"),
      });
    },
    leave() {
      chart.setCursor({ left: -10, top: -10 });
    },
    showAll() {
      isZoomed = false;
      onZoom(false);
      chart.setData(chart.data, true);
    },
    destroy() {
      chart.destroy();
    },
  };
}

/** An x axis value in no more detail than its step. @param {number} seconds @param {number} step  seconds */
function tick(seconds, step) {
  const date = new Date(seconds * 1000);
  if (step >= 86_400) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const isMidnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
  if (isMidnight) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const clock = when(date.getTime(), date.getTime());
  return step >= 60 ? clock.slice(0, 5) : clock;
}
