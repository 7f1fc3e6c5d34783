/**
 * A company's price and its change since the previous window, as the card and the detail view show it.
 */
import { colour } from "./drawing.js";
import { find, setText } from "./dom.js";
import { change, priceParts } from "./format.js";

/** @typedef {import("./store.js").Company} Company */

/** Returns a function that shows a company's newest average and its change inside `element`. @param {HTMLElement} element */
export function priceSetter(element) {
  const box = find(element, ".price");
  const whole = find(element, ".whole");
  const fraction = find(element, ".fraction");
  const changeBox = find(element, ".change");
  const changeText = find(element, ".change-text");
  /** @param {Company} company */
  return ({ newest, points }) => {
    const [wholeText, fractionText] = priceParts(newest.avgPrice);
    const isNew = whole.textContent !== "" && whole.textContent + fraction.textContent !== wholeText + fractionText;
    setText(whole, wholeText);
    setText(fraction, fractionText);
    const previous = points.avgPrice.at(-2);
    const { direction, text } = change(previous ?? newest.avgPrice, newest.avgPrice);
    changeBox.dataset.direction = direction;
    // Keeps its place while there is no previous window, so that the layout does not jump.
    changeBox.classList.toggle("nothing", previous === undefined);
    setText(changeText, text);
    if (isNew) flash(box, direction);
  };
}

/** Highlights a new price for a moment. @param {HTMLElement} element @param {string} direction */
function flash(element, direction) {
  if (direction === "same" || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const { color } = getComputedStyle(element);
  element.animate([{ color: colour(`--${direction}`) }, { color, offset: 1 }], { duration: 900, easing: "ease-out" });
}
