/**
 * The cards, one for each company, and the rows of bars below them. A card is filled when it is first about to be
 * seen, and drawn only while it is visible.
 */
import { byId, factSetter, find, fromTemplate, setData, setText } from "./dom.js";
import { companyColour } from "./drawing.js";
import { ago, count, price } from "./format.js";
import { priceSetter } from "./price.js";
import { RhythmRow } from "./rhythm.js";
import { Sparkline } from "./sparkline.js";
import { isQuiet } from "./store.js";

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./overview.js").Context} Context */

/** Points in a card's chart. */
export const CARD_POINTS = 120;
/** So many cards are there at once, so that nothing moves while the page loads. */
const FIRST_CARDS = 24;
/** Rows of bars are for a few companies. */
const MAX_RHYTHM_ROWS = 24;

export class Cards {
  #place = byId("cards");
  #rhythm = byId("rhythm");
  #onChange;
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {Map<string, RhythmRow>} */
  #rows = new Map();
  /** @type {WeakMap<Element, Card>} */
  #byElement = new WeakMap();
  /** @type {readonly Company[]} */
  #companies = [];
  /** @type {Context | undefined} */
  #context;
  #observer;

  /** @param {() => void} onChange  called when other companies are visible */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#observer = new IntersectionObserver((entries) => this.#onVisible(entries), { rootMargin: "200px" });
  }

  /** The companies whose cards are on the screen, or about to be. */
  visible() {
    return this.#companies.filter(({ name }) => this.#cards.get(name)?.isVisible);
  }

  /** @param {readonly Company[]} companies  in their order @param {Context} context */
  show(companies, context) {
    this.#context = context;
    if (companies !== this.#companies) this.#arrange(companies);
    for (const company of companies) {
      const card = this.#cards.get(company.name);
      if (card?.isVisible) card.show(company, context);
      this.#rows.get(company.name)?.show(company);
    }
  }

  /** @param {number} now  ms since 1970 */
  tick(now) {
    for (const card of this.#cards.values()) if (card.isVisible) card.tick(now);
  }

  /** Draws all again, in other colours. */
  redraw() {
    for (const row of this.#rows.values()) row.draw();
  }

  /** Moves the keyboard to a company's card, or to the first one. @param {string} [name] */
  focus(name) {
    const card = this.#cards.get(name ?? "") ?? this.#cards.get(this.#companies[0]?.name ?? "");
    if (card) find(card.element, "a").focus();
  }

  /** Scrolls to the first card that is not whole on the screen; from the end to the start. */
  nextPage() {
    const isCut = (/** @type {Card} */ { element }) => element.getBoundingClientRect().bottom > innerHeight + 1;
    const next = this.#companies.map(({ name }) => this.#cards.get(name)).find((card) => card && isCut(card));
    const isLast = scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
    if (next && !isLast) next.element.scrollIntoView({ block: "start" });
    else scrollTo(0, 0);
  }

  /** Gives back what the cards take. */
  clear() {
    if (this.#companies.length > 0) this.#arrange([]);
  }

  /** @param {readonly Company[]} companies */
  #arrange(companies) {
    this.#companies = companies;
    const names = new Set(companies.map(({ name }) => name));
    for (const [name, card] of this.#cards) {
      if (names.has(name)) continue;
      this.#observer.unobserve(card.element);
      card.destroy();
      this.#cards.delete(name);
    }
    companies.forEach((company, index) => {
      let card = this.#cards.get(company.name);
      if (!card) {
        card = new Card(company);
        if (index < FIRST_CARDS) card.isVisible = true;
        this.#cards.set(company.name, card);
        this.#byElement.set(card.element, card);
        this.#observer.observe(card.element);
      }
      putAt(this.#place, index, card.element);
    });
    this.#arrangeRhythm(companies.length > MAX_RHYTHM_ROWS ? [] : companies);
  }

  /** @param {readonly Company[]} companies */
  #arrangeRhythm(companies) {
    byId("rhythm-panel").hidden = companies.length === 0;
    const names = new Set(companies.map(({ name }) => name));
    for (const [name, row] of this.#rows) {
      if (names.has(name)) continue;
      row.destroy();
      this.#rows.delete(name);
    }
    companies.forEach((company, index) => {
      const row = this.#rows.get(company.name) ?? new RhythmRow(company);
      this.#rows.set(company.name, row);
      putAt(this.#rhythm, index, row.element);
    });
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #onVisible(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.#byElement.get(target);
      if (!card) continue;
      card.isVisible = isIntersecting;
      if (!isIntersecting) card.release();
    }
    const context = this.#context;
    if (context) for (const company of this.visible()) this.#cards.get(company.name)?.show(company, context);
    this.#onChange();
  }
}

/** Moves an element only when it is elsewhere: moving takes the focus away. @param {HTMLElement} parent @param {number} index @param {HTMLElement} element */
function putAt(parent, index, element) {
  const there = parent.children[index] ?? null;
  if (there !== element) parent.insertBefore(element, there);
}

class Card {
  element = fromTemplate("card-template");
  isVisible = false;
  #colour;
  /** @type {ReturnType<typeof fill> | undefined} */
  #content;
  /** @type {Company | undefined} */
  #company;
  #revision = -1;
  #version = -1;

  /** @param {Company} company */
  constructor({ name, colour }) {
    this.#colour = companyColour(colour);
    this.element.style.setProperty("--colour", `var(${this.#colour})`);
    this.element.dataset.company = name;
    const link = /** @type {HTMLAnchorElement} */ (find(this.element, "h2 a"));
    link.textContent = name;
    link.href = `#${encodeURIComponent(name)}`;
  }

  /** @param {Company} company @param {Context} context */
  show(company, context) {
    if (company === this.#company && company.revision === this.#revision && context.version === this.#version) return;
    this.#company = company;
    this.#revision = company.revision;
    this.#version = context.version;
    this.#content ??= fill(this.element);
    const { facts, chart, canvas, sparkline, since, sides, spread, balance, track, mark, showPrice } = this.#content;
    const { newest, points } = company;
    showPrice(company, context.base(company) ?? Number.NaN);
    setText(since, context.since);
    chart.setAttribute("aria-label", chartLabel(sparkline.show(points, this.#colour).avgPrice));
    // The canvas is only a picture of it.
    canvas.ariaHidden = "true";
    const { buy, sell, minPrice, maxPrice, avgPrice } = newest;
    facts("buy", price(buy?.avgPrice));
    facts("sell", price(sell?.avgPrice));
    facts("low", price(minPrice));
    facts("high", price(maxPrice));
    sides.hidden = !buy || !sell;
    if (buy && sell) balance.style.inlineSize = percent(buy.count, buy.count + sell.count);
    spread.hidden = minPrice === undefined || maxPrice === undefined;
    if (minPrice !== undefined && maxPrice !== undefined) {
      track.style.insetInlineStart = percent(avgPrice - minPrice, maxPrice - minPrice);
    }
    const side = context.side(company);
    setData(this.element, "side", side);
    setText(mark, side && `${side} threshold`);
    this.tick(context.now());
  }

  /** @param {number} now */
  tick(now) {
    const company = this.#company;
    if (!company || !this.#content) return;
    const quiet = company.depth > 0 && isQuiet(company, now);
    this.element.classList.toggle("quiet", quiet);
    const since = ago(now - company.newest.seenAt);
    setText(this.#content.age, quiet ? `Quiet, last ${since}` : since);
  }

  /** Gives the picture's memory back until it is visible again. */
  release() {
    this.#content?.sparkline.release();
    this.#company = undefined;
  }

  destroy() {
    this.#content?.sparkline.destroy();
    this.element.remove();
  }
}

/** What of a card changes. @param {HTMLElement} element */
function fill(element) {
  element.append(fromTemplate("card-body-template"));
  const canvas = /** @type {HTMLCanvasElement} */ (find(element, ".chart canvas"));
  return {
    facts: factSetter(element),
    chart: find(element, ".chart"),
    canvas,
    sparkline: new Sparkline(canvas, { isFilled: true }),
    since: find(element, ".since"),
    sides: find(element, ".sides"),
    spread: find(element, ".spread"),
    balance: find(element, ".balance span"),
    track: find(element, ".track span"),
    mark: find(element, ".mark"),
    age: find(element, ".age"),
    showPrice: priceSetter(element),
  };
}

/** @param {readonly number[]} prices */
function chartLabel(prices) {
  if (prices.length === 0) return "No windows yet";
  const lowest = price(Math.min(...prices));
  const highest = price(Math.max(...prices));
  return `The last ${count(prices.length)} windows: from ${price(prices[0])} to ${price(prices.at(-1))}, lowest ${lowest}, highest ${highest}`;
}

/** @param {number} part @param {number} whole */
function percent(part, whole) {
  const share = whole > 0 ? part / whole : 0.5;
  return `${(Math.min(Math.max(share, 0), 1) * 100).toFixed(2)}%`;
}
