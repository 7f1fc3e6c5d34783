/**
 * Shared by all charts: colours, sizes, the space around a line.
 */

const PALETTE_SIZE = 8;

const scheme = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
/** Colours of the current scheme, since looking one up makes the browser compute styles. @type {Map<string, string>} */
const colours = new Map();
/** What draws charts anew when the scheme changes. @type {Set<() => void>} */
const followers = new Set();

scheme?.addEventListener("change", () => {
  colours.clear();
  for (const redraw of followers) redraw();
});

/** A colour of the style sheet, in the current scheme. @param {string} name */
export function colour(name) {
  let value = colours.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    // Empty while the style sheet is loaded.
    if (value) colours.set(name, value);
  }
  return value;
}

/** @param {number} index */
export function companyColour(index) {
  return `--company-${index % PALETTE_SIZE}`;
}

/**
 * Companies' colours beside each other: its own each, or the next one that is free.
 * @param {readonly number[]} wanted  indices; the first ones take precedence
 * @returns {string[]} names
 */
export function distinctColours(wanted) {
  /** @type {Set<number>} */
  const taken = new Set();
  return wanted.map((index) => {
    let free = index % PALETTE_SIZE;
    if (taken.size < PALETTE_SIZE) while (taken.has(free)) free = (free + 1) % PALETTE_SIZE;
    taken.add(free);
    return companyColour(free);
  });
}

/**
 * Calls `redraw` when the colour scheme changes to light or dark.
 * @param {() => void} redraw
 * @returns {() => void} ends it
 */
export function onSchemeChange(redraw) {
  followers.add(redraw);
  return () => void followers.delete(redraw);
}

/**
 * Calls `resize` with the size of `place`, now and whenever it changes.
 * @param {HTMLElement} place @param {(width: number, height: number) => void} resize
 * @returns {() => void} ends it
 */
export function follow(place, resize) {
  const observer = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width > 0) resize(Math.round(contentRect.width), Math.round(contentRect.height));
  });
  observer.observe(place);
  return () => observer.disconnect();
}

/** The y range of a chart: space above and below the line, also when it is flat. @param {number} low @param {number} high @returns {[number, number]} */
export function withRoom(low, high) {
  const room = (high - low) * 0.14 || Math.abs(high) * 0.001 || 1;
  return [low - room, high + room];
}

/** A fill that fades from the line's colour to nothing at the bottom. @param {string | (() => string)} name @param {number} [strength] */
export function fade(name, strength = 0.26) {
  /** @param {uPlot} chart */
  return (chart) => {
    const { top, height } = chart.bbox;
    if (!Number.isFinite(top) || !Number.isFinite(height)) return "transparent";
    const gradient = chart.ctx.createLinearGradient(0, top, 0, top + height);
    const base = colour(typeof name === "string" ? name : name());
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
