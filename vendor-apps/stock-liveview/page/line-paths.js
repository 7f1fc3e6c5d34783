/**
 * The path of a line that ends at each break and begins anew after it. uPlot's own draws over breaks and clips that away,
 * which leaves slivers of a steep line at their edges.
 */

/** A fill that bands may clip, to uPlot. */
const FILL = 1;

/**
 * `undefined` is no value there: the line goes on. null breaks it.
 * @type {uPlot.Series.PathBuilder}
 */
export function linePaths(chart, index, first, last) {
  const stroke = new Path2D();
  const fill = new Path2D();
  const times = chart.data[0];
  const values = chart.data[index];
  const bottom = chart.bbox.top + chart.bbox.height;
  /** Where the stretch begins; undefined between two. @type {number | undefined} */
  let begin;
  let end = 0;
  const close = () => {
    if (begin === undefined) return;
    fill.lineTo(end, bottom);
    fill.lineTo(begin, bottom);
    fill.closePath();
    begin = undefined;
  };
  for (let at = first; at <= last; at += 1) {
    const value = values[at];
    if (value === null) close();
    if (typeof value !== "number") continue;
    const x = chart.valToPos(times[at], "x", true);
    const y = chart.valToPos(value, "y", true);
    if (begin === undefined) {
      begin = x;
      stroke.moveTo(x, y);
      fill.moveTo(x, y);
    } else {
      stroke.lineTo(x, y);
      fill.lineTo(x, y);
    }
    end = x;
  }
  close();
  return { stroke, fill, clip: null, band: null, flags: FILL };
}
