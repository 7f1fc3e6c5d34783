/**
 * The chart of a card. uPlot draws it.
 */
import { colour, fade, follow, onSchemeChange, withAlpha, withRoom } from "./drawing.js";

/** @typedef {import("./store.js").Points} Points */

/**
 * A card's chart: the line alone, with a dot at its newest point.
 * @param {HTMLElement} place
 * @param {string} colourName
 * @returns {(points: Points) => void} shows new points
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
    // The area reaches the card's edge; the line ends before it, so that its dot fits in.
    const edge = time[time.length - 1] + (time[time.length - 1] - time[0]) * 0.035;
    chart.setData([
      [...time, edge],
      [...avgPrice, avgPrice[avgPrice.length - 1]],
      [...avgPrice, null],
    ]);
  };
}

/** Draws a dot at the newest point. @param {uPlot} chart @param {string} colourName */
function drawNewest(chart, colourName) {
  const [times, prices] = chart.data;
  const last = times.length - 2;
  if (last < 0) return;
  const x = chart.valToPos(times[last], "x", true);
  const y = chart.valToPos(/** @type {number} */ (prices[last]), "y", true);
  const unit = devicePixelRatio;
  const { ctx } = chart;
  ctx.save();
  for (const [radius, alpha] of [
    [7, 0.2],
    [3.5, 1],
  ]) {
    ctx.beginPath();
    ctx.arc(x, y, radius * unit, 0, 2 * Math.PI);
    ctx.fillStyle = withAlpha(colour(colourName), alpha);
    ctx.fill();
  }
  ctx.restore();
}
