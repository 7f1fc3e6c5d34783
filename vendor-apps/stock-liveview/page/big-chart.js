/**
 * The detail view's chart: axes, lines, a band where windows are denser than the pixels, marked pauses, a cursor, and a
 * drag that zooms in. uPlot draws it. What it shows, and which part, is told by the detail view.
 */
import { colour, fade, follow, onSchemeChange, withAlpha, withRoom } from "./drawing.js";
import { when } from "./format.js";
import { linePaths } from "./line-paths.js";
import { lastIndex, nearest } from "./picture.js";
import { axisLabels, withoutWindows } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./ranges.js").Span} Span */
/** Called with the time under the pointer, ms, or null. @typedef {(at: number | null) => void} OnPoint */

const FONT = '12px "Geist Variable", system-ui, sans-serif';
/** A drag over fewer CSS pixels is a click. */
const MIN_DRAG = 8;
/** CSS pixels of a column of windows. */
const COLUMN = 3;
/** CSS pixels between the lines that hatch a pause. */
const HATCH = 7;
/** Below this width in CSS pixels a pause is marked without words. */
const MIN_WORDS = 18;
/** The x axis of a single window, ms. */
const LEAST_SPAN = 10_000;
/** The colour of a quiet company's average. */
const QUIET = "--text-soft";

/**
 * @typedef {object} Chart
 * @property {(picture: Picture, view: Span, isSampled: boolean) => void} show
 * @property {() => number | null} pointedAt  the time under the pointer, ms
 * @property {(index: number) => {left: number, top: number, isRight: boolean, height: number} | undefined} place  of a
 *   column, and the chart's height, in CSS pixels; undefined when it is not visible
 * @property {(index: number | null) => void} moveTo  moves the cursor to a column, or hides it
 * @property {(isQuiet: boolean) => void} setQuiet
 * @property {() => number} columns  how many fit beside each other
 * @property {() => void} destroy   releases all that belongs to it
 */

/**
 * @param {HTMLElement} place
 * @param {readonly string[]} colours  names: of one company, or of each that is compared
 * @param {object} listeners
 * @param {OnPoint} listeners.onPoint
 * @param {(view: Span) => void} listeners.onZoom
 * @param {() => void} listeners.onResize
 * @returns {Chart}
 */
export function bigChart(place, colours, { onPoint, onZoom, onResize }) {
  const isComparison = colours.length > 1;
  let isQuiet = false;
  /** @type {Picture | undefined} */
  let shown;
  let areSamples = false;
  /** The pointer's place, CSS pixels; null when it is elsewhere. @type {number | null} */
  let pointer = null;
  /** While the cursor is moved by the program, not by the pointer. */
  let isMoving = false;

  const chart = new uPlot(
    {
      width: place.clientWidth || 600,
      height: place.clientHeight || 360,
      padding: [12, 26, 0, 0],
      legend: { show: false },
      cursor: cursor((at, line) => {
        const index = shown ? nearest(shown, at) : -1;
        return shown && isComparison ? lastIndex(shown.lines[line], index) : index;
      }),
      scales: {
        x: { time: true },
        y: { range: (_, low, high) => (low === null ? [0, 1] : withRoom(low, high)) },
      },
      axes: axes(isComparison),
      series: isComparison
        ? comparedSeries(colours, () => (isQuiet ? 0.45 : 1))
        : singleSeries(
            () => (isQuiet ? QUIET : colours[0]),
            () => (isQuiet ? 0.4 : 0.75),
          ),
      bands: isComparison
        ? []
        : [{ series: [1, 2], fill: () => withAlpha(colour(isQuiet ? QUIET : colours[0]), 0.24) }],
      hooks: {
        drawClear: [(self) => shown && markPauses(self, shown, areSamples)],
        draw: [(self) => isComparison && drawZero(self)],
        setCursor: [
          ({ cursor: { left, idx }, posToVal }) => {
            if (isMoving) return;
            pointer = typeof idx === "number" && Number(left) >= 0 ? Number(left) : null;
            onPoint(pointer === null ? null : posToVal(pointer, "x") * 1000);
          },
        ],
        setSelect: [
          (self) => {
            const { left, width } = self.select;
            if (width < MIN_DRAG) return;
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            onZoom({ from: self.posToVal(left, "x") * 1000, to: self.posToVal(left + width, "x") * 1000 });
          },
        ],
      },
    },
    [[], ...Array.from({ length: isComparison ? colours.length : 5 }, () => [])],
    place,
  );
  const ends = [
    follow(place, (width, height) => {
      if (width === chart.width && height === chart.height) return;
      chart.setSize({ width, height });
      onResize();
    }),
    onSchemeChange(() => chart.redraw(false)),
  ];

  return {
    show(picture, { from, to }, isSampled) {
      shown = picture;
      areSamples = isSampled;
      const { time, lines, low, high } = picture;
      const seconds = time.map((at) => at / 1000);
      const values = isComparison ? lines : [low, high, lines[1], lines[2], lines[0]];
      isMoving = true;
      chart.batch(() => {
        chart.setData(/** @type {uPlot.AlignedData} */ ([seconds, ...values]), false);
        chart.setScale("x", { min: (to > from ? from : to - LEAST_SPAN) / 1000, max: to / 1000 });
      });
      isMoving = false;
    },
    pointedAt: () => (pointer === null ? null : chart.posToVal(pointer, "x") * 1000),
    place(index) {
      const at = shown?.time[index];
      if (!shown || at === undefined) return undefined;
      const { bbox } = chart;
      const width = bbox.width / devicePixelRatio;
      const left = chart.valToPos(at / 1000, "x");
      if (left < -0.5 || left > width + 0.5) return undefined;
      const values = shown.lines.map((line) => line[index]).filter((value) => typeof value === "number");
      const top = values.length > 0 ? chart.valToPos(Math.max(...values), "y") : 0;
      return {
        left: left + bbox.left / devicePixelRatio,
        top: top + bbox.top / devicePixelRatio,
        isRight: left > width / 2,
        height: chart.height,
      };
    },
    moveTo(index) {
      pointer = null;
      const at = index === null ? undefined : shown?.time[index];
      const left = at === undefined ? -10 : chart.valToPos(at / 1000, "x");
      chart.setCursor({ left, top: left < 0 ? -10 : 0 }, false);
    },
    setQuiet(quiet) {
      if (quiet === isQuiet) return;
      isQuiet = quiet;
      chart.redraw(false);
    },
    columns: () => Math.max(Math.floor(chart.bbox.width / devicePixelRatio / COLUMN), 20),
    destroy() {
      for (const end of ends) end();
      chart.destroy();
    },
  };
}

/**
 * @param {(at: number, line: number) => number} indexAt  of the value to read at a time, ms; of the first line it is 0
 * @returns {uPlot.Cursor}
 */
function cursor(indexAt) {
  return {
    y: false,
    drag: { x: true, y: false, setScale: false },
    dataIdx: (_, series, closest, seconds) => (series === 0 ? closest : indexAt(seconds * 1000, series - 1)),
    points: {
      // None on the edges of the band.
      size: (self, index) => (self.series[index].width === 0 ? 0 : 9),
      stroke: () => colour("--surface"),
      width: (self, index) => (self.series[index].width === 0 ? 0 : 2),
      fill: (self, index) =>
        /** @type {(chart: uPlot, index: number) => string} */ (self.series[index].stroke)(self, index),
    },
  };
}

/** @param {boolean} isChange @returns {uPlot.Axis[]} */
function axes(isChange) {
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
      space: (_, __, from, to, width) => spaceOf(to - from, width),
      size: 30,
      values: (_, splits, __, ___, step) => splits.map((at) => tick(at, step)),
      grid: { show: false },
    },
    { ...axis, size: widthOf, values: (_, splits, __, ___, step) => axisLabels(splits, step, isChange) },
  ];
}

/** CSS pixels between labels of the x axis: those without seconds need less. @param {number} seconds @param {number} width */
function spaceOf(seconds, width) {
  return (seconds * 50) / width > 30 ? 50 : 76;
}

/**
 * The width of an axis whose labels all fit in.
 * @param {uPlot} self @param {string[] | null} labels @param {number} index @param {number} cycle  of uPlot's layout
 */
function widthOf(self, labels, index, cycle) {
  const axis = /** @type {uPlot.Axis & {_size?: number}} */ (self.axes[index]);
  // uPlot asks again until nothing changes.
  if (cycle > 1 && axis._size) return axis._size;
  const longest = (labels ?? []).reduce((found, label) => (label.length > found.length ? label : found), "");
  return Math.max(textWidth(self.ctx, longest) + 14, 48);
}

/** Widths of labels, CSS pixels: measuring one makes the browser compute styles. @type {Map<string, number>} */
const widths = new Map();
const MAX_WIDTHS = 1000;

/** @param {CanvasRenderingContext2D} ctx @param {string} text */
function textWidth(ctx, text) {
  // Digits are about as wide as each other.
  const key = text.replaceAll(/\d/g, "0");
  let width = widths.get(key);
  if (width === undefined) {
    if (widths.size >= MAX_WIDTHS) widths.clear();
    ctx.save();
    ctx.font = FONT;
    width = Math.ceil(ctx.measureText(key).width);
    ctx.restore();
    widths.set(key, width);
  }
  return width;
}

/** @param {() => string} name  of the average's colour @param {() => number} strength  of the sides @returns {uPlot.Series[]} */
function singleSeries(name, strength) {
  /** Its lower and upper edge. @type {uPlot.Series} */
  const edge = { stroke: "transparent", width: 0, points: { show: false } };
  return [
    {},
    { ...edge },
    { ...edge },
    line(() => withAlpha(colour("--buy"), strength()), 1),
    line(() => withAlpha(colour("--sell"), strength()), 1),
    { ...line(() => colour(name()), 2), fill: fade(name, 0.16) },
  ];
}

/** @param {readonly string[]} names @param {() => number} strength @returns {uPlot.Series[]} */
function comparedSeries(names, strength) {
  return [{}, ...names.map((name) => line(() => withAlpha(colour(name), strength()), 2))];
}

/** @param {() => string} stroke @param {number} width @returns {uPlot.Series} */
function line(stroke, width) {
  return {
    stroke,
    width,
    paths: linePaths,
    // A window between two pauses would be invisible as a line.
    points: { show: false, size: width + 3, fill: stroke, stroke, filter: lonely },
  };
}

/** Indices of values without a neighbour to draw a line to. @param {uPlot} self @param {number} index @returns {number[]} */
function lonely({ data }, index) {
  const values = /** @type {(number | null | undefined)[]} */ (/** @type {unknown} */ (data[index]));
  /** @type {number[]} */
  const found = [];
  let count = 0;
  let last = -1;
  for (let at = 0; at <= values.length; at += 1) {
    const value = values[at];
    if (typeof value === "number") {
      count += 1;
      last = at;
    } else if (value === null || at === values.length) {
      if (count === 1) found.push(last);
      count = 0;
    }
  }
  return found;
}

/** Hatches the pauses, below the lines, and says how long they are. @param {uPlot} chart @param {Picture} picture @param {boolean} isSampled */
function markPauses(chart, { pauses }, isSampled) {
  const { ctx, bbox } = chart;
  const unit = devicePixelRatio;
  const right = bbox.left + bbox.width;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { from, to } of pauses) {
    const start = Math.max(chart.valToPos(from / 1000, "x", true), bbox.left);
    const end = Math.min(chart.valToPos(to / 1000, "x", true), right);
    if (!(end > start)) continue;
    hatch(ctx, start, bbox.top, Math.max(end - start, unit), bbox.height);
    words(ctx, withoutWindows(to - from, isSampled), start, end, bbox);
  }
  ctx.restore();
}

/** @param {CanvasRenderingContext2D} ctx @param {number} left @param {number} top @param {number} width @param {number} height */
function hatch(ctx, left, top, width, height) {
  const unit = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.fillStyle = colour("--sunken");
  ctx.fillRect(left, top, width, height);
  ctx.strokeStyle = colour("--line");
  ctx.lineWidth = unit;
  ctx.beginPath();
  for (let x = left - height; x < left + width; x += HATCH * unit) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + height, top);
  }
  ctx.stroke();
  ctx.restore();
}

/** Text in the middle of a pause, upright where it is too narrow. @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} start @param {number} end @param {{top: number, height: number}} box */
function words(ctx, text, start, end, { top, height }) {
  const unit = devicePixelRatio;
  ctx.font = `${12 * unit}px "Geist Variable", system-ui, sans-serif`;
  const length = ctx.measureText(text).width + 16 * unit;
  const isAcross = length <= end - start;
  if (!isAcross && (end - start < MIN_WORDS * unit || length > height)) return;
  ctx.save();
  ctx.translate((start + end) / 2, top + height / 2);
  if (!isAcross) ctx.rotate(-Math.PI / 2);
  ctx.fillStyle = colour("--sunken");
  ctx.fillRect(-length / 2, -9 * unit, length, 18 * unit);
  ctx.fillStyle = colour("--text-soft");
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(text, 0, 0);
  ctx.restore();
}

/** The start of the range, which changes are from. @param {uPlot} chart */
function drawZero(chart) {
  const { ctx, bbox } = chart;
  const y = Math.round(chart.valToPos(0, "y", true));
  if (!(y >= bbox.top && y <= bbox.top + bbox.height)) return;
  ctx.save();
  ctx.strokeStyle = colour("--text-soft");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
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
