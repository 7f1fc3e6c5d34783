/**
 * A company's price and its change, as cards and the detail view show them.
 */
import { find, setData, setText } from "./dom.js";
import { change, exact, priceParts } from "./format.js";
import { paint } from "./surface.js";

/** @typedef {import("./store.js").Company} Company */

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Returns a function that shows a company's newest average inside `element`, and its change from another price: from the
 * window before, unless told otherwise.
 * @param {HTMLElement} element
 */
export function priceSetter(element) {
  const box = find(element, ".price");
  const whole = find(element, ".whole");
  const fraction = find(element, ".fraction");
  const changeBox = find(element, ".change");
  const changeText = find(element, ".change-text");
  /** @param {Company} company @param {number} [from]  NaN: there is no such price */
  return ({ newest, points }, from) => {
    const [wholeText, fractionText] = priceParts(newest.avgPrice);
    const isNew = whole.textContent !== "" && whole.textContent + fraction.textContent !== wholeText + fractionText;
    setText(whole, wholeText);
    setText(fraction, fractionText);
    setExact(box, newest.avgPrice, wholeText.length + fractionText.length);
    const previous = from ?? points.avgPrice.at(-2);
    const isKnown = previous !== undefined && !Number.isNaN(previous);
    const { direction, text } = change(isKnown ? previous : newest.avgPrice, newest.avgPrice);
    setData(changeBox, "direction", direction);
    // Keeps its place while there is no previous window, so that the layout does not jump.
    changeBox.classList.toggle("nothing", previous === undefined);
    setText(changeText, isKnown ? text : "–");
    if (isNew) flash(box, direction);
  };
}

/** Long prices are written smaller, and told in full by their title. @param {HTMLElement} box @param {number} price @param {number} length */
function setExact(box, price, length) {
  const title = exact(price);
  if (box.title !== title) box.title = title;
  const characters = String(length);
  if (box.dataset.characters === characters) return;
  box.dataset.characters = characters;
  box.style.setProperty("--characters", characters);
}

/** Highlights a new price for a moment. @param {HTMLElement} element @param {string} direction */
function flash(element, direction) {
  if (direction === "same" || calm.matches || document.visibilityState !== "visible") return;
  element.animate([{ color: paint(`--${direction}`), offset: 0 }], { duration: 900, easing: "ease-out" });
}
