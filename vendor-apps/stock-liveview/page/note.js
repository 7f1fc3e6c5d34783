/**
 * What a chart cannot show, in words: why it is empty or incomplete, and its pauses. Pure.
 */
import { count, when } from "./format.js";
import { LIVE, sampleStep, spanOf } from "./ranges.js";
import { lasting, withoutWindows } from "./words.js";

/** Pauses that are told one by one. */
const MAX_TOLD = 2;

/** @param {import("./picture.js").Picture} picture @param {string} range @param {number} now  ms since 1970 */
export function note({ pauses, tracks }, range, now) {
  const sentences = [];
  if (tracks.length > 1) sentences.push("Change of each since its first window in this range.");
  else if (range !== LIVE) sentences.push(described(tracks[0].points.time, range));
  const isRough = tracks.some(({ points }) => sampleStep(range, points.time) > 0);
  for (const { from, to } of pauses.slice(-MAX_TOLD)) {
    const text = `${withoutWindows(to - from, isRough)}, from ${when(from, now)} to ${when(to, now)}.`;
    sentences.push(text[0].toUpperCase() + text.slice(1));
  }
  const untold = pauses.length - MAX_TOLD;
  if (untold > 0) sentences.push(`${count(untold)} earlier ${untold === 1 ? "pause" : "pauses"}.`);
  return sentences.filter(Boolean).join(" ");
}

/** @param {readonly number[]} time @param {string} range */
function described(time, range) {
  const step = sampleStep(range, time);
  if (step > 0) return `One window of every ${lasting(step)}.`;
  if (time.length === 0) return "No windows in this range.";
  const covered = (time[time.length - 1] - time[0]) / spanOf(range, time);
  if (covered >= 0.9) return "";
  return time.length === 1 ? "1 window in this range." : `${count(time.length)} windows in this range.`;
}
