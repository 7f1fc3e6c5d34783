/**
 * The detail view's chart: axes, a cursor that reads values by mouse, finger or keyboard, a drag that zooms in. uPlot
 * draws it.
 */
import { colour, fade, follow, onSchemeChange, withAlpha, withRoom } from "./drawing.js";
import { price, when } from "./format.js";

/** @typedef {import("./store.js").Points} Points */
/** Called with the index of the selected window, or null, and its place in CSS pixels. @typedef {(index: number | null, left: number, top: number) => void} OnCursor */

const FONT = '12px "Geist Variable", system-ui, sans-serif';
/** A drag over fewer CSS pixels is a click. */
const MIN_DRAG = 8;
/** Index of the averages in the chart's data. */
const AVERAGE = 3;

/**
 * @param {HTMLElement} place
 * @param {string} colourName
 * @param {object} listeners
 * @param {OnCursor} listeners.onCursor
 * @param {(isZoomed: boolean) => void} listeners.onZoom
 */
export function bigChart(place, colourName, { onCursor, onZoom }) {
  let isZoomed = false;
  /** @param {uPlot} self */
  const onSelect = (self) => {
    if (self.select.width < MIN_DRAG) return;
    isZoomed = true;
    onZoom(true);
    zoomToSelection(self);
  };
  const hooks = {
    setCursor: [(/** @type {uPlot} */ self) => reportCursor(self, onCursor)],
    setSelect: [onSelect],
  };
  const chart = new uPlot(options(place, colourName, hooks), [[], [], [], []], place);
  follow(place, (width, height) => chart.setSize({ width, height }));
  onSchemeChange(() => chart.redraw(false));

  return {
    /** @param {Points} points */
    show({ time, avgPrice, buy, sell }) {
      const seconds = time.map((at) => at / 1000);
      const { idx } = chart.cursor;
      chart.setData([seconds, buy, sell, avgPrice], !isZoomed);
      // setData resets the cursor that the keyboard has moved.
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

/** @param {HTMLElement} place @param {string} colourName @param {uPlot.Hooks.Arrays} hooks @returns {uPlot.Options} */
function options(place, colourName, hooks) {
  return {
    width: place.clientWidth || 600,
    height: place.clientHeight || 360,
    padding: [12, 26, 0, 0],
    legend: { show: false },
    cursor: cursor(),
    scales: { x: { time: true }, y: { range: (_, low, high) => withRoom(low, high) } },
    axes: axes(),
    series: series(colourName),
    hooks,
  };
}

/** @returns {uPlot.Cursor} */
function cursor() {
  return {
    y: false,
    drag: { x: true, y: false, setScale: false },
    points: {
      size: 9,
      stroke: () => colour("--surface"),
      width: 2,
      fill: (self, index) =>
        /** @type {(chart: uPlot, index: number) => string} */ (self.series[index].stroke)(self, index),
    },
  };
}

/** @returns {uPlot.Axis[]} */
function axes() {
  /** @type {uPlot.Axis} */
  const axis = {
    stroke: () => colour("--text-soft"),
    font: FONT,
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { show: false },
    gap: 8,
  };
  return [
    {
      ...axis,
      space: 76,
      size: 30,
      values: (_, splits, __, ___, step) => splits.map((at) => tick(at, step)),
      grid: { show: false },
    },
    { ...axis, size: 64, values: (_, splits) => splits.map((value) => price(value)) },
  ];
}

/** @param {string} colourName @returns {uPlot.Series[]} */
function series(colourName) {
  /** @param {string} name @param {number} width @param {number} [alpha] @returns {uPlot.Series} */
  const line = (name, width, alpha = 1) => ({
    stroke: () => withAlpha(colour(name), alpha),
    width,
    spanGaps: true,
    points: { show: false },
  });
  return [{}, line("--buy", 1, 0.75), line("--sell", 1, 0.75), { ...line(colourName, 2), fill: fade(colourName, 0.2) }];
}

/** @param {uPlot} chart @param {OnCursor} onCursor */
function reportCursor({ cursor: { idx, left }, data, valToPos, over }, onCursor) {
  const value = typeof idx === "number" && Number(left) >= 0 ? data[AVERAGE][idx] : undefined;
  if (typeof value !== "number" || typeof idx !== "number") onCursor(null, 0, 0);
  else onCursor(idx, valToPos(data[0][idx], "x") + over.offsetLeft, valToPos(value, "y") + over.offsetTop);
}

/** @param {uPlot} chart */
function zoomToSelection(chart) {
  const { left, width } = chart.select;
  chart.setScale("x", { min: chart.posToVal(left, "x"), max: chart.posToVal(left + width, "x") });
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
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
