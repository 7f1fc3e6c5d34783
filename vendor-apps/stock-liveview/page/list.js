/**
 * A list of which only the visible rows are in the document, and the row that has the keyboard.
 */
import { onSize } from "./surface.js";

/** Rows drawn beyond each edge, so that scrolling shows no gap. */
const SPARE = 4;

/** What draws one row. @typedef {{element: HTMLElement, place: (index: number, top: number) => void}} Row */

/** @template {Row} R */
export class VirtualList {
  #scroller;
  #body;
  #create;
  #onChange;
  /** Rows in the document by index. @type {Map<number, R>} */
  #rows = new Map();
  /** @type {R[]} */
  #unused = [];
  #count = 0;
  #active = 0;
  #top = 0;
  #viewHeight = 0;
  #rowHeight = 0;
  #headHeight = 0;
  #isPlanned = false;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.scroller  with the head, which stays, and the body
   * @param {HTMLElement} parts.head      as high as a row
   * @param {HTMLElement} parts.body
   * @param {() => R} parts.create
   * @param {() => void} parts.onChange   called when other rows are in the document
   */
  constructor({ scroller, head, body, create, onChange }) {
    this.#scroller = scroller;
    this.#body = body;
    this.#create = create;
    this.#onChange = onChange;
    scroller.addEventListener("scroll", () => {
      this.#top = scroller.scrollTop;
      this.#plan();
    });
    onSize(scroller, (_, height) => {
      this.#viewHeight = height;
      this.#plan();
    });
    onSize(head, (_, height) => {
      if (height > 0) this.#rowHeight = height;
      this.#headHeight = height;
      this.#plan();
    });
  }

  /** Index of the row that has, or gets, the keyboard. */
  get active() {
    return this.#active;
  }

  /** Rows in the document, by index. */
  get rows() {
    return this.#rows;
  }

  /** Rows that fit in. */
  get page() {
    return Math.max(Math.floor((this.#viewHeight - this.#headHeight) / (this.#rowHeight || 1)), 1);
  }

  /** @param {number} count */
  set count(count) {
    this.#count = count;
    this.#active = Math.max(Math.min(this.#active, count - 1), 0);
    this.draw();
  }

  /** Brings the document up to date with what is visible. */
  draw() {
    if (this.#rowHeight === 0) return;
    const [first, last] = this.#range();
    this.#body.style.blockSize = `${this.#count * this.#rowHeight}px`;
    for (const [index, row] of this.#rows) {
      if ((index >= first && index <= last) || (index === this.#active && index < this.#count)) continue;
      row.element.remove();
      this.#rows.delete(index);
      this.#unused.push(row);
    }
    for (let index = first; index <= last; index += 1) this.#put(index);
    if (this.#count > 0) this.#put(this.#active);
    this.#inOrder();
    this.#onChange();
  }

  /**
   * Moves the keyboard to a row, and into view.
   * @param {number} index @param {{isFocused?: boolean}} [options]
   */
  moveTo(index, { isFocused = true } = {}) {
    if (this.#count === 0) return;
    this.#active = Math.max(Math.min(index, this.#count - 1), 0);
    const room = this.#viewHeight - this.#headHeight;
    const top = this.#active * this.#rowHeight;
    if (top < this.#top) this.scrollTo(top);
    else if (top + this.#rowHeight > this.#top + room) this.scrollTo(top + this.#rowHeight - room);
    this.draw();
    if (isFocused) this.#rows.get(this.#active)?.element.focus({ preventScroll: true });
  }

  /** Makes a row the one that gets the keyboard, where it is. @param {number} index */
  activate(index) {
    this.#active = index;
    this.draw();
  }

  /** @param {number} top */
  scrollTo(top) {
    this.#top = Math.max(Math.min(top, this.#count * this.#rowHeight - (this.#viewHeight - this.#headHeight)), 0);
    this.#scroller.scrollTop = this.#top;
  }

  /** Scrolls on by what fits in; from the end to the start. */
  nextPage() {
    const step = this.page * this.#rowHeight;
    const isAtEnd = this.#top + step >= this.#count * this.#rowHeight - 1;
    this.scrollTo(isAtEnd ? 0 : Math.round(this.#top / this.#rowHeight) * this.#rowHeight + step);
    this.draw();
  }

  #plan() {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    requestAnimationFrame(() => {
      this.#isPlanned = false;
      this.draw();
    });
  }

  /** First and last index to draw. */
  #range() {
    const first = Math.floor(this.#top / this.#rowHeight) - SPARE;
    const last = Math.ceil((this.#top + this.#viewHeight) / this.#rowHeight) + SPARE;
    return [Math.max(Math.min(first, this.#count - 1), 0), Math.min(last, this.#count - 1)];
  }

  /** @param {number} index */
  #put(index) {
    let row = this.#rows.get(index);
    if (!row) {
      row = this.#unused.pop() ?? this.#create();
      this.#rows.set(index, row);
    }
    row.place(index, index * this.#rowHeight);
    const tabIndex = index === this.#active ? 0 : -1;
    if (row.element.tabIndex !== tabIndex) row.element.tabIndex = tabIndex;
  }

  /** Screen readers read rows in the order of the document. The row that has the focus stays where it is. */
  #inOrder() {
    const indices = [...this.#rows.keys()].sort((a, b) => a - b);
    const anchor = indices.findIndex((index) => this.#rows.get(index)?.element.contains(document.activeElement));
    const elements = indices.map((index) => /** @type {R} */ (this.#rows.get(index)).element);
    let next = anchor < 0 ? null : elements[anchor];
    for (const element of elements.slice(0, Math.max(anchor, 0)).reverse()) {
      if (element.nextElementSibling !== next || !element.isConnected) this.#body.insertBefore(element, next);
      next = element;
    }
    let before = anchor < 0 ? null : elements[anchor];
    for (const element of elements.slice(anchor + 1)) {
      if (element.previousElementSibling !== before || !element.isConnected) {
        this.#body.insertBefore(element, before ? before.nextElementSibling : this.#body.firstElementChild);
      }
      before = element;
    }
  }
}
