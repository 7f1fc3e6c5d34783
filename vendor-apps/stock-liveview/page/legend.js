/**
 * The legend of the detail view's chart: its lines, or the companies that are compared with their values.
 */
import { find, setText, span } from "./dom.js";
import { comparedText } from "./readout.js";

/** @typedef {import("./picture.js").Picture} Picture */

const LINES = [
  { line: "average", text: "Average" },
  { line: "band", text: "Lowest to highest" },
  { line: "buy", text: "Buy" },
  { line: "sell", text: "Sell" },
];

export class Legend {
  #list;
  /** The companies that it was made for; undefined before. @type {string | undefined} */
  #made;

  /** @param {HTMLElement} list @param {(name: string) => void} onRemove  called with a company that is to go */
  constructor(list, onRemove) {
    this.#list = list;
    list.addEventListener("click", ({ target }) => {
      const button = /** @type {HTMLElement} */ (target).closest("button");
      if (button?.dataset.company !== undefined) onRemove(button.dataset.company);
    });
  }

  /** @param {Picture} picture @param {readonly string[]} names  of the companies, that of the view first @param {readonly string[]} colours */
  show(picture, names, colours) {
    const made = names.length > 1 ? names.join("\n") : "";
    if (made !== this.#made) {
      this.#made = made;
      this.#list.replaceChildren(...(made ? names.map(companyItem) : LINES.map(lineItem)));
    }
    if (made) {
      colours.forEach((name, index) => this.#item(index).style.setProperty("--colour", `var(${name})`));
      return;
    }
    const { lines, low, high } = picture;
    const isNumber = (/** @type {unknown} */ value) => typeof value === "number";
    const isThere = [
      true,
      low.some((value, index) => value !== high[index]),
      ...lines.slice(1).map((line) => line.some(isNumber)),
    ];
    isThere.forEach((isShown, index) => {
      this.#item(index).hidden = !isShown;
    });
  }

  /** The compared companies' values. @param {Picture} picture @param {number} index  of the column; -1 for the newest */
  showValues(picture, index) {
    if (picture.tracks.length < 2 || this.#list.children.length !== picture.tracks.length) return;
    const column = index < 0 ? picture.time.length - 1 : index;
    picture.tracks.forEach((_, line) => setText(find(this.#item(line), ".value"), comparedText(picture, line, column)));
  }

  /** @param {number} index */
  #item(index) {
    return /** @type {HTMLElement} */ (this.#list.children[index]);
  }
}

/** @param {{line: string, text: string}} line */
function lineItem({ line, text }) {
  const item = document.createElement("li");
  item.dataset.line = line;
  item.textContent = text;
  return item;
}

/** @param {string} name @param {number} index */
function companyItem(name, index) {
  const item = document.createElement("li");
  item.append(span("name", name), span("value", ""));
  // The company of the view stays.
  if (index === 0) return item;
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.company = name;
  button.setAttribute("aria-label", `Remove ${name}`);
  button.textContent = "×";
  item.append(button);
  return item;
}
