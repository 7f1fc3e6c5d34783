/**
 * The overview of all companies: which ones, in which order, as cards or as a table.
 */
import { Cards, CARD_POINTS } from "./cards.js";
import { byId, setText } from "./dom.js";
import { count } from "./format.js";
import { isLive, search, sorted } from "./selection.js";
import { onColours } from "./surface.js";
import { ROW_POINTS, Table } from "./table.js";

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./address.js").Address} Address */

/** Up to so many companies are shown as cards unless the address says otherwise. */
const FEW = 12;
/** Rows sorted by something that changes move at most this often. */
const RESORT_MS = 2000;
/** They stay where they are for so long after the pointer has moved over them, or they were scrolled. */
const HOLD_MS = 3000;
/** A screen on the wall shows each page of the table for this long. */
const KIOSK_PAGE_MS = 10_000;

/** What the change is told since, in words. */
const SINCE = {
  open: "since opened",
  "5m": "over 5 minutes",
  "1h": "over an hour",
  "1d": "over a day",
};

/**
 * What cards and rows need beside their company.
 * @typedef {object} Context
 * @property {number} version                                grows when any of the others would answer differently
 * @property {(company: Company) => number | undefined} base  the price that its change is told against
 * @property {string} since                                  what the change is told since, in words
 * @property {(company: Company) => string} side              where it is beyond its threshold: above, below or empty
 * @property {() => number} now                              ms since 1970, by the live view's clock
 */

/**
 * @typedef {object} Sources
 * @property {() => readonly Company[]} companies  in alphabetical order
 * @property {(company: string) => number | undefined} pastPrice
 * @property {(company: Company) => string} side
 * @property {() => number} now
 * @property {(names: string[], depth: number) => void} want  asks for the points of charts
 */

export class Overview {
  #sources;
  #cards;
  #table;
  /** @type {Address} */
  #address;
  #version = 0;
  /** @type {readonly Company[]} */
  #companies = [];
  /** @type {readonly Company[]} */
  #shown = [];
  /** What the order depends on, but for the companies. */
  #orderedBy = "";
  #orderedAt = 0;
  #touchedAt = Number.NEGATIVE_INFINITY;
  #isShown = false;
  #hidden = 0;

  /** @param {Address} address @param {Sources} sources @param {(column: string) => void} onSort */
  constructor(address, sources, onSort) {
    this.#address = address;
    this.#sources = sources;
    this.#cards = new Cards(() => this.#want());
    this.#table = new Table({ onSort, onChange: () => this.#want() });
    for (const place of [byId("table-body"), byId("cards")]) {
      place.addEventListener("pointermove", () => this.#touch(), { passive: true });
    }
    byId("table").addEventListener("scroll", () => this.#touch(), { passive: true });
    onColours(() => {
      this.#cards.redraw();
      this.refresh();
    });
    if (address.kiosk) setInterval(() => this.#nextPage(), KIOSK_PAGE_MS);
  }

  /** Cards or table. */
  get view() {
    return this.#address.view || (this.#sources.companies().length <= FEW ? "cards" : "table");
  }

  /** Shows what the address asks for. @param {Address} address */
  go(address) {
    const isOther = address.q !== this.#address.q || address.sort.column !== this.#address.sort.column;
    this.#address = address;
    this.refresh();
    if (isOther) this.#table.scrollToTop();
  }

  /** Draws everything again: what companies are compared with has changed. */
  refresh() {
    this.#version += 1;
    if (this.#isShown) this.show(this.#hidden);
  }

  /** @param {number} hiddenCompanies  that the live view does not show */
  show(hiddenCompanies) {
    this.#isShown = true;
    this.#hidden = hiddenCompanies;
    const isTable = this.view === "table";
    byId("table").hidden = !isTable;
    byId("cards").hidden = isTable;
    this.#order();
    const context = this.#context();
    if (isTable) {
      this.#cards.clear();
      byId("rhythm-panel").hidden = true;
      this.#table.showSort(this.#address.sort);
      this.#table.show(this.#shown, context);
    } else {
      this.#cards.show(this.#shown, context);
    }
    this.#describe();
    this.#want();
  }

  /** The overview is left: nothing of it is drawn. */
  leave() {
    this.#isShown = false;
  }

  /** Updates what changes with time alone. @param {number} now  ms since 1970 */
  tick(now) {
    if (!this.#isShown) return;
    // The order may be due.
    if (isLive(this.#address.sort)) this.show(this.#hidden);
    if (this.view === "table") this.#table.tick(now);
    else this.#cards.tick(now);
  }

  /** Moves the keyboard to a company, or to the first one. @param {string} [name] */
  focus(name) {
    if (this.view === "table") this.#table.focus(name);
    else this.#cards.focus(name);
  }

  /** Whether a company is listed. @param {string} name */
  has(name) {
    return this.#shown.some((company) => company.name === name);
  }

  /** The company that has the keyboard in the table. */
  active() {
    return this.view === "table" ? this.#table.active()?.name : undefined;
  }

  /** Whether anything is listed. */
  get isEmpty() {
    return this.#shown.length === 0;
  }

  /** @returns {Context} */
  #context() {
    const { change } = this.#address;
    const { pastPrice, side, now } = this.#sources;
    return {
      version: this.#version,
      base: change === "open" ? ({ first }) => first : ({ name }) => pastPrice(name),
      since: SINCE[change],
      side,
      now,
    };
  }

  /** Puts the companies in order when it is due. */
  #order() {
    const companies = this.#sources.companies();
    const { q, sort, change } = this.#address;
    const orderedBy = JSON.stringify([q, sort, change]);
    const now = performance.now();
    const isSame = companies === this.#companies && orderedBy === this.#orderedBy;
    if (isSame && (!isLive(sort) || now - this.#orderedAt < RESORT_MS || this.#isHeld(now))) return;
    [this.#companies, this.#orderedBy, this.#orderedAt] = [companies, orderedBy, now];
    const shown = sorted(search(companies, q), sort, this.#context().base);
    const isEqual =
      shown.length === this.#shown.length && shown.every((company, index) => company === this.#shown[index]);
    if (!isEqual) this.#shown = shown;
  }

  /** While somebody reads or points at rows, they stay where they are. @param {number} now */
  #isHeld(now) {
    const focused = document.activeElement;
    const hasKeyboard = byId("table-body").contains(focused) || byId("cards").contains(focused);
    return hasKeyboard || now - this.#touchedAt < HOLD_MS;
  }

  #touch() {
    this.#touchedAt = performance.now();
  }

  #want() {
    if (!this.#isShown) return;
    const isTable = this.view === "table";
    const visible = isTable ? this.#table.visible() : this.#cards.visible();
    this.#sources.want(
      visible.map(({ name }) => name),
      isTable ? ROW_POINTS : CARD_POINTS,
    );
  }

  #describe() {
    const all = this.#companies.length;
    const trades = this.#companies[0]?.newest.count;
    const windows =
      trades === undefined
        ? "Over each window of trades, as it closes"
        : `Over each window of ${count(trades)} trades, as it closes`;
    setText(byId("overview-about"), windows);
    const listed = this.#address.q ? `${count(this.#shown.length)} of ${companiesText(all)}` : companiesText(all);
    const hidden = this.#hidden > 0 ? `. ${moreText(this.#hidden)} not shown` : "";
    setText(byId("overview-count"), `${listed}${hidden}`);
    byId("no-match").hidden = this.#shown.length > 0;
    setText(byId("no-match-text"), `No company’s symbol contains “${this.#address.q}”.`);
  }

  #nextPage() {
    if (!this.#isShown || document.visibilityState !== "visible") return;
    if (this.view === "table") this.#table.nextPage();
    else this.#cards.nextPage();
  }
}

/** @param {number} number */
function companiesText(number) {
  return number === 1 ? "1 company" : `${count(number)} companies`;
}

/** @param {number} number */
function moreText(number) {
  return number === 1 ? "1 more company is" : `${count(number)} more companies are`;
}
