/**
 * The keys of a chart: arrows read its values, with Shift they move its part, + and - zoom, 0 shows all. As a slider it
 * goes up to later windows.
 */

const PAGE = 10;

/**
 * @typedef {object} Actions
 * @property {(steps: number) => void} move  the cursor, by columns; later ones are positive; Infinity is the last
 * @property {(parts: number) => void} pan   by parts of what is visible
 * @property {(factor: number) => void} zoom  below 1 zooms in
 * @property {() => void} showAll
 * @property {() => void} leave
 */

/** @param {HTMLElement} plot @param {Actions} actions */
export function listenToKeys(plot, { move, pan, zoom, showAll, leave }) {
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowLeft: () => move(-1),
    ArrowDown: () => move(-1),
    ArrowRight: () => move(1),
    ArrowUp: () => move(1),
    PageDown: () => move(-PAGE),
    PageUp: () => move(PAGE),
    Home: () => move(-Infinity),
    End: () => move(Infinity),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    _: () => zoom(2),
    0: showAll,
    Escape: leave,
  };
  /** @type {Record<string, () => void>} */
  const shifted = { ArrowLeft: () => pan(-0.25), ArrowRight: () => pan(0.25) };
  plot.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const action = (event.shiftKey && shifted[event.key]) || keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  plot.addEventListener("blur", leave);
}
