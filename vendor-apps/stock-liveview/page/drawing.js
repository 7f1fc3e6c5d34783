/**
 * Shared by all charts: colours, sizes, the space around a line.
 */

const PALETTE_SIZE = 8;

/** A colour of the style sheet, in the current scheme. @param {string} name */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** @param {number} index */
export function companyColour(index) {
  return `--company-${index % PALETTE_SIZE}`;
}

/** Calls `redraw` when the colour scheme changes to light or dark. @param {() => void} redraw */
export function onSchemeChange(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/** Calls `resize` with the new size of `place`. @param {HTMLElement} place @param {(width: number, height: number) => void} resize */
export function follow(place, resize) {
  const observer = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width > 0) resize(Math.round(contentRect.width), Math.round(contentRect.height));
  });
  observer.observe(place);
}

/** The y range of a chart: space above and below the line, also when it is flat. @param {number} low @param {number} high @returns {[number, number]} */
export function withRoom(low, high) {
  const room = (high - low) * 0.14 || Math.abs(high) * 0.001 || 1;
  return [low - room, high + room];
}

/** A fill that fades from the line's colour to nothing at the bottom. @param {string} name @param {number} [strength] */
export function fade(name, strength = 0.26) {
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
export function withAlpha(hex, alpha) {
  const byte = Math.round(alpha * 255)
    .toString(16)
    .padStart(2, "0");
  return `${hex}${byte}`;
}
