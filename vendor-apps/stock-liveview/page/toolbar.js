/**
 * What one can choose about the overview: the search, cards or table, the order, the time of a change.
 */
import { byId } from "./dom.js";

/** @typedef {import("./address.js").Address} Address */

export class Toolbar {
  #search = /** @type {HTMLInputElement} */ (byId("search"));
  #change = /** @type {HTMLSelectElement} */ (byId("change"));
  #sort = /** @type {HTMLSelectElement} */ (byId("sort"));
  #onChange;

  /**
   * @param {(patch: Partial<Address>) => void} onChange
   * @param {() => void} onLeave  called when the keyboard goes from the search to what was found
   */
  constructor(onChange, onLeave) {
    this.#onChange = onChange;
    this.#search.addEventListener("input", () => onChange({ q: this.#search.value }));
    this.#search.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") {
        event.preventDefault();
        if (this.#search.value === "") this.#search.blur();
        this.clear();
      } else if (event.key === "Enter" || event.key === "ArrowDown") {
        event.preventDefault();
        onLeave();
      }
    });
    byId("clear-search").addEventListener("click", () => {
      this.clear();
      this.focus();
    });
    for (const name of /** @type {const} */ (["cards", "table"])) {
      byId(`view-${name}`).addEventListener("change", () => onChange({ view: name }));
    }
    this.#change.addEventListener("change", () => {
      onChange({ change: /** @type {Address["change"]} */ (this.#change.value) });
    });
    this.#sort.addEventListener("change", () => {
      const isDescending = this.#sort.value.startsWith("-");
      onChange({ sort: { column: this.#sort.value.replace("-", ""), isDescending } });
    });
  }

  /** @param {Address} address @param {"cards" | "table"} view */
  show({ q, change, sort }, view) {
    if (this.#search.value !== q) this.#search.value = q;
    if (this.#change.value !== change) this.#change.value = change;
    /** @type {HTMLInputElement} */ (byId(`view-${view}`)).checked = true;
    const order = `${sort.isDescending ? "-" : ""}${sort.column}`;
    if (this.#sort.value !== order) this.#sort.value = order;
    byId("sort-field").hidden = view === "table";
  }

  focus() {
    this.#search.focus();
    this.#search.select();
  }

  clear() {
    if (this.#search.value === "") return;
    this.#search.value = "";
    this.#onChange({ q: "" });
  }
}
