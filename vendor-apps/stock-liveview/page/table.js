/**
 * The table: a row for each company, of which only the visible ones are drawn.
 *
 * It is an ARIA grid: one row has the keyboard; arrow keys, Page Up, Page Down, Home and End move it, Enter opens the
 * company.
 */
import { byId, find, fromTemplate, setData, setText } from "./dom.js";
import { ago, change, count, exact, price } from "./format.js";
import { VirtualList } from "./list.js";
import { Sparkline } from "./sparkline.js";
import { isQuiet } from "./store.js";

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./overview.js").Context} Context */
/** @typedef {import("./address.js").Sort} Sort */

/** Points in a row's chart. */
export const ROW_POINTS = 60;
/** Longer symbols are written smaller. */
const LONG_SYMBOL = 14;

export class Table {
  #element = byId("table");
  #body = byId("table-body");
  /** @type {VirtualList<Row>} */
  #list;
  /** @type {readonly Company[]} */
  #companies = [];
  /** @type {Context | undefined} */
  #context;

  /**
   * @param {object} listeners
   * @param {(column: string) => void} listeners.onSort
   * @param {() => void} listeners.onChange   called when other companies are visible
   */
  constructor({ onSort, onChange }) {
    this.#list = new VirtualList({
      scroller: this.#element,
      head: find(this.#element, ".head"),
      body: this.#body,
      create: () => new Row((element) => this.#activate(element)),
      onChange: () => {
        this.#showVisible();
        onChange();
      },
    });
    for (const button of this.#element.querySelectorAll("button")) {
      button.addEventListener("click", () => onSort(/** @type {string} */ (button.dataset.sort)));
    }
    this.#body.addEventListener("keydown", (event) => this.#onKey(event));
  }

  get element() {
    return this.#element;
  }

  /** The companies whose rows are in the document. */
  visible() {
    const indices = [...this.#list.rows.keys()].sort((a, b) => a - b);
    return indices.flatMap((index) => this.#companies[index] ?? []);
  }

  /** The company of the row that has the keyboard. */
  active() {
    return this.#companies[this.#list.active];
  }

  /** @param {readonly Company[]} companies  in their order @param {Context} context */
  show(companies, context) {
    this.#context = context;
    if (companies === this.#companies) {
      this.#showVisible();
      return;
    }
    const active = this.active();
    const hadFocus = this.#body.contains(document.activeElement);
    this.#companies = companies;
    this.#element.setAttribute("aria-rowcount", String(companies.length + 1));
    this.#list.count = companies.length;
    const index = active ? companies.indexOf(active) : -1;
    // The row that has the keyboard moves with its company.
    if (index >= 0 && index !== this.#list.active) {
      this.#list.activate(index);
      if (hadFocus) this.#list.rows.get(index)?.element.focus({ preventScroll: true });
    }
  }

  /** @param {Sort} sort */
  showSort({ column, isDescending }) {
    for (const header of this.#element.querySelectorAll('[role="columnheader"]')) {
      const isSorted = find(/** @type {HTMLElement} */ (header), "button, span").dataset.sort === column;
      if (isSorted) header.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
  }

  /** @param {number} now  ms since 1970 */
  tick(now) {
    for (const row of this.#list.rows.values()) row.tick(now);
  }

  /** Moves the keyboard to a company's row, or to the first one. @param {string} [name] */
  focus(name) {
    const index = this.#companies.findIndex((company) => company.name === name);
    this.#list.moveTo(Math.max(index, 0));
  }

  scrollToTop() {
    this.#list.scrollTo(0);
    this.#list.activate(0);
  }

  nextPage() {
    this.#list.nextPage();
  }

  #showVisible() {
    const context = this.#context;
    if (!context) return;
    for (const [index, row] of this.#list.rows) {
      const company = this.#companies[index];
      if (company) row.show(company, context);
    }
  }

  /** @param {HTMLElement} element */
  #activate(element) {
    for (const [index, row] of this.#list.rows) if (row.element === element) this.#list.activate(index);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { active, page } = this.#list;
    const targets = {
      ArrowUp: active - 1,
      ArrowDown: active + 1,
      PageUp: active - page,
      PageDown: active + page,
      Home: 0,
      End: this.#companies.length - 1,
    };
    if (event.altKey || event.metaKey || event.shiftKey) return;
    if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.matches('[role="row"]')) {
      find(event.target, "a").click();
    } else if (event.key in targets) {
      event.preventDefault();
      this.#list.moveTo(targets[/** @type {keyof typeof targets} */ (event.key)]);
    }
  }
}

class Row {
  element = fromTemplate("row-template");
  #link = /** @type {HTMLAnchorElement} */ (find(this.element, "a"));
  #mark = find(this.element, ".mark");
  #price = find(this.element, ".row-price");
  #change = find(this.element, ".row-change");
  #amount = find(this.element, ".amount");
  #percent = find(this.element, ".percent");
  #volume = find(this.element, ".volume");
  #buys = find(this.element, ".buys");
  #sells = find(this.element, ".sells");
  #balance = find(this.element, ".balance span");
  #low = find(this.element, ".low");
  #high = find(this.element, ".high");
  #age = find(this.element, ".row-age");
  #canvas = /** @type {HTMLCanvasElement} */ (find(this.element, "canvas"));
  #sparkline = new Sparkline(this.#canvas, { isFilled: false });
  /** @type {Company | undefined} */
  #company;
  #revision = -1;
  #version = -1;
  #index = -1;
  #top = -1;

  /** @param {(element: HTMLElement) => void} onFocus */
  constructor(onFocus) {
    this.element.addEventListener("focus", () => onFocus(this.element));
  }

  /** @param {number} index @param {number} top */
  place(index, top) {
    if (index === this.#index && top === this.#top) return;
    [this.#index, this.#top] = [index, top];
    this.element.style.transform = `translateY(${top}px)`;
    this.element.setAttribute("aria-rowindex", String(index + 2));
  }

  /** @param {Company} company @param {Context} context */
  show(company, context) {
    const isOther = company !== this.#company;
    if (!isOther && company.revision === this.#revision && context.version === this.#version) return;
    this.#company = company;
    this.#revision = company.revision;
    this.#version = context.version;
    const { newest, points } = company;
    if (isOther) {
      this.#name(company.name);
      delete this.#price.dataset.fresh;
    }
    const { direction } = this.#showPrice(company, context.base(company), isOther);
    setNumber(this.#low, newest.minPrice);
    setNumber(this.#high, newest.maxPrice);
    this.#showVolume(newest);
    const { avgPrice } = this.#sparkline.show(points, `--${direction}`);
    this.#canvas.setAttribute("aria-label", sparklineLabel(avgPrice));
    const side = context.side(company);
    setData(this.element, "side", side);
    setText(this.#mark, side && `${side} threshold`);
    this.#showAge(context.now());
  }

  /** @param {number} now */
  tick(now) {
    if (this.#price.dataset.fresh) delete this.#price.dataset.fresh;
    this.#showAge(now);
  }

  /** @param {number} now */
  #showAge(now) {
    const company = this.#company;
    if (!company) return;
    const quiet = company.depth > 0 && isQuiet(company, now);
    this.element.classList.toggle("quiet", quiet);
    const since = ago(now - company.newest.seenAt);
    setText(this.#age, quiet ? `Quiet, ${since}` : since);
  }

  /** @param {string} name */
  #name(name) {
    this.element.dataset.company = name;
    setText(this.#link, name);
    this.#link.href = `#${encodeURIComponent(name)}`;
    this.#link.classList.toggle("long", name.length > LONG_SYMBOL);
    this.#link.title = name.length > LONG_SYMBOL ? name : "";
  }

  /** @param {Company} company @param {number | undefined} base @param {boolean} isOther */
  #showPrice({ newest: { avgPrice } }, base, isOther) {
    const isNew = setNumber(this.#price, avgPrice) && !isOther;
    const told = change(base ?? avgPrice, avgPrice);
    const direction = base === undefined ? "same" : told.direction;
    setData(this.#change, "direction", direction);
    setText(this.#amount, base === undefined ? "" : told.amount);
    setText(this.#percent, base === undefined ? "–" : told.percent);
    // An animation for each of many rows would never let the page rest.
    if (isNew) this.#price.dataset.fresh = direction;
    return { direction };
  }

  /** @param {Company["newest"]} newest */
  #showVolume({ count: all, buy, sell }) {
    this.#volume.classList.toggle("split", buy !== undefined && sell !== undefined);
    setText(this.#buys, buy && sell ? count(buy.count) : all === undefined ? "–" : count(all));
    setText(this.#sells, buy && sell ? count(sell.count) : "");
    if (!buy || !sell) return;
    this.#balance.style.inlineSize = `${((100 * buy.count) / Math.max(buy.count + sell.count, 1)).toFixed(1)}%`;
  }
}

/** Sets a number, with what it is exactly where it is shown shortened. @param {HTMLElement} element @param {number | undefined} value @returns {boolean} whether it changed */
function setNumber(element, value) {
  const text = price(value);
  const isNew = element.textContent !== text;
  setText(element, text);
  const whole = value === undefined || isPlain(value) ? "" : exact(value);
  if (element.title !== whole) element.title = whole;
  return isNew;
}

/** Whether two decimals are about all there is to a price. @param {number} value */
function isPlain(value) {
  return Math.abs(value) >= 1 && Math.abs(value) < 1e9;
}

/** @param {readonly number[]} prices */
function sparklineLabel(prices) {
  if (prices.length === 0) return "No windows yet";
  return `The last ${count(prices.length)} windows: from ${price(prices[0])} to ${price(prices.at(-1))}`;
}
