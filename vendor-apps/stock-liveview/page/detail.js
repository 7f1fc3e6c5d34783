/**
 * The detail view: one company's newest window in full, and a chart of a selectable range, in which other companies can
 * be compared with it.
 */
import { Arrival } from "./arrival.js";
import { bigChart } from "./big-chart.js";
import { companySearch } from "./compare.js";
import { csv, fileName } from "./csv.js";
import { byId, factSetter, find, setText } from "./dom.js";
import { companyColour, distinctColours } from "./drawing.js";
import { ago, clock, count, price, when } from "./format.js";
import { Legend } from "./legend.js";
import { note } from "./note.js";
import { comparison, moved, nearest, single } from "./picture.js";
import { listenToKeys } from "./plot-keys.js";
import { priceSetter } from "./price.js";
import { RangeHistory } from "./range-history.js";
import { CHOICES, LIVE, panned, rangeOf, sampleStep, within, zoomed } from "./ranges.js";
import { readout, sentence } from "./readout.js";
import { isQuiet } from "./store.js";
import { showTip } from "./tip.js";
import { delay, zone } from "./words.js";

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./store.js").Points} Points */
/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./ranges.js").Span} Span */
/** What the address says of the chart; an empty range is LIVE. @typedef {{range: string, with: string[]}} State */

/** Companies in one chart. */
export const MAX_COMPARED = 6;
/** States of the page in which its prices are old. */
const OLD_STATES = new Set(["stale", "reconnecting"]);
/** Of a picture that is not drawn yet. */
const FEW_COLUMNS = 100;
/** @type {Points} */
const NOTHING = { time: [], avgPrice: [], buy: [], sell: [] };

export class Detail {
  #element = byId("detail");
  #name;
  #store;
  #onChange;
  #onState;
  #range = LIVE;
  /** Companies compared with this one. @type {string[]} */
  #others = [];
  /** Of each company in the chart; none for LIVE. @type {Map<string, RangeHistory>} */
  #histories = new Map();
  /** @type {Company | undefined} */
  #company;
  /** The newest window on the screen. @type {import("./store.js").Newest | undefined} */
  #newest;
  #arrival = new Arrival();

  /** @type {ReturnType<typeof bigChart> | undefined} */
  #chart;
  /** Of the companies, as the chart was made for. @type {string[]} */
  #colours = [];
  /** @type {Picture | undefined} */
  #picture;
  /** The part that one has zoomed in to; null for all. @type {Span | null} */
  #view = null;
  /** What the picture was made of, to make none without need. @type {unknown[]} */
  #sources = [];
  /** The time that the cursor is at, ms. @type {number | null} */
  #cursorAt = null;
  /** The column there, of several that have this time. */
  #cursorIndex = -1;
  #isByPointer = false;

  #showPrice;
  #fact;
  #plot;
  #tip;
  #legend;

  /**
   * @param {string} name  the company's
   * @param {object} options
   * @param {string} [options.range]
   * @param {readonly string[]} [options.with]  companies to compare
   * @param {import("./store.js").Store} options.store
   * @param {() => void} options.onChange  called when there is something new to show; calls `show`
   * @param {(state: State) => void} options.onState  called when the user changes what the address says
   */
  constructor(name, { range, with: others = [], store, onChange, onState }) {
    this.#name = name;
    this.#store = store;
    this.#onChange = onChange;
    this.#onState = onState;
    const { content } = /** @type {HTMLTemplateElement} */ (byId("detail-template"));
    this.#element.replaceChildren(content.cloneNode(true));
    this.#element.classList.remove("unknown", "quiet");
    this.#showPrice = priceSetter(this.#element);
    this.#fact = factSetter(this.#element);
    this.#plot = find(this.#element, ".plot");
    this.#tip = find(this.#element, ".tip");
    this.#legend = new Legend(find(this.#element, ".legend"), (other) => {
      this.#compare(this.#others.filter((one) => one !== other));
      // Its button is gone, and the focus with it.
      find(this.#element, ".compare input").focus();
    });
    setText(find(this.#element, "h1"), name);
    this.#createControls();
    this.setState({ range, with: others });
  }

  /** The companies whose points the chart needs, this one first. */
  get names() {
    return [this.#name, ...this.#others];
  }

  /** @param {{range?: string, with?: readonly string[]}} state  what the address says */
  setState({ range, with: others = [] }) {
    const distinct = [...new Set(others)].filter((other) => other && other !== this.#name);
    this.#others = distinct.slice(0, MAX_COMPARED - 1);
    this.#select(rangeOf(range));
  }

  focus() {
    find(this.#element, "h1").focus();
  }

  destroy() {
    for (const history of this.#histories.values()) history.close();
    this.#histories.clear();
    this.#chart?.destroy();
    this.#chart = undefined;
    this.#element.replaceChildren();
    this.#element.classList.remove("unknown", "quiet");
  }

  /** @param {Company} company */
  show(company) {
    if (this.#element.classList.contains("unknown")) this.#element.classList.remove("unknown");
    this.#company = company;
    this.#followHistories();
    if (company.newest !== this.#newest) this.#showNewest(company);
    this.#draw();
  }

  /** @param {Company} company @param {number} now  ms since 1970, by the live view's clock */
  tick(company, now) {
    const quiet = isQuiet(company, now);
    const shown = this.#newest ?? company.newest;
    const since = ago(now - shown.seenAt);
    this.#element.classList.toggle("quiet", quiet);
    // Only the lines fade: text keeps its contrast. Others in a comparison may have windows.
    const isOld = OLD_STATES.has(document.documentElement.dataset.state ?? "");
    this.#chart?.setQuiet(isOld || (quiet && this.#others.length === 0));
    setText(find(this.#element, ".age"), quiet ? `Quiet, last window ${since}` : since);
    this.#arrival.see(company.newest, now);
    const { arrivedAt, delayMs } = this.#arrival;
    this.#fact("arrived", when(arrivedAt, now));
    this.#fact("delay", delayMs === undefined ? "–" : delay(delayMs));
    this.#fact("zone", zone(now));
  }

  /** Shows that there is no data for this company. @param {string} why */
  showNothing(why) {
    this.#element.classList.add("unknown");
    const text = this.#company
      ? `${this.#name} has no windows any more: they were deleted. It comes back here with its next one.`
      : why;
    setText(byId("detail-note"), text);
    this.#sources = [];
    this.#newest = undefined;
  }

  /** @param {Company} company */
  #showNewest(company) {
    const { newest, colour } = company;
    const element = this.#element;
    this.#newest = newest;
    element.style.setProperty("--colour", `var(${companyColour(colour)})`);
    this.#showPrice(company);
    const box = find(element, ".price");
    box.style.setProperty("--characters", String(box.textContent?.length ?? 1));
    this.#fact("buy", price(newest.buy?.avgPrice));
    this.#fact("sell", price(newest.sell?.avgPrice));
    this.#fact("low", price(newest.minPrice));
    this.#fact("high", price(newest.maxPrice));
    this.#fact("count", newest.count === undefined ? "–" : count(newest.count));
    this.#fact("closed", clock(newest.time));
  }

  #createControls() {
    const element = this.#element;
    const fieldset = find(element, ".ranges");
    for (const { name, label } of CHOICES) {
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "range", value: name, id: `range-${name}` });
      input.addEventListener("change", () => {
        this.#select(name);
        this.#tellState();
      });
      const text = document.createElement("label");
      text.htmlFor = input.id;
      text.textContent = label;
      fieldset.append(input, text);
    }
    const candidates = () => this.#store.companies().flatMap(({ name }) => (this.names.includes(name) ? [] : [name]));
    companySearch(find(element, ".compare"), candidates, (name) => this.#compare([...this.#others, name]));
    find(element, ".save").addEventListener("click", () => this.#save());
    find(element, ".zoom-in").addEventListener("click", () => this.#zoom(0.5));
    find(element, ".zoom-out").addEventListener("click", () => this.#zoom(2));
    find(element, ".reset").addEventListener("click", () => this.#setView(null));
    this.#plot.setAttribute("aria-label", `Chart of ${this.#name}`);
    this.#plot.setAttribute("aria-valuetext", "No window selected");
    listenToKeys(this.#plot, {
      move: (steps) => this.#moveCursor(steps),
      pan: (parts) => this.#pan(parts),
      zoom: (factor) => this.#zoom(factor),
      showAll: () => this.#setView(null),
      leave: () => this.#leave(),
    });
  }

  #tellState() {
    this.#onState({ range: this.#range === LIVE ? "" : this.#range, with: [...this.#others] });
  }

  /** @param {string[]} others */
  #compare(others) {
    this.setState({ range: this.#range, with: others });
    this.#tellState();
  }

  /** @param {string} range */
  #select(range) {
    if (range !== this.#range) this.#view = null;
    const wanted = range === LIVE ? [] : this.names;
    for (const [name, history] of this.#histories) {
      if (range === this.#range && wanted.includes(name)) continue;
      history.close();
      this.#histories.delete(name);
    }
    for (const name of wanted) {
      if (!this.#histories.has(name)) this.#histories.set(name, new RangeHistory(name, range, this.#onChange));
    }
    this.#range = range;
    const input = /** @type {HTMLInputElement} */ (find(this.#element, `#range-${range}`));
    input.checked = true;
    const search = /** @type {HTMLInputElement} */ (find(this.#element, ".compare input"));
    search.disabled = this.#others.length >= MAX_COMPARED - 1;
    search.placeholder = search.disabled ? `${MAX_COMPARED} at most` : "Compare with";
    this.#sources = [];
    this.#followHistories();
    if (this.#company) this.#draw();
    this.#onChange();
  }

  #followHistories() {
    for (const [name, history] of this.#histories) {
      const company = this.#store.company(name);
      if (company) history.follow(company);
    }
  }

  /** Draws anew what changed. */
  #draw() {
    const companies = this.names.map((name) => this.#store.company(name));
    const histories = this.names.map((name) => this.#histories.get(name));
    const sources = [
      ...companies.flatMap((company, index) => [company, histories[index] ? 0 : company?.revision]),
      ...histories.flatMap((history) => [history?.revision, history?.hasFailed]),
    ];
    const isSame = sources.length === this.#sources.length && sources.every((one, at) => one === this.#sources[at]);
    if (isSame) return;
    this.#sources = sources;

    const colours = distinctColours(companies.map((company, index) => company?.colour ?? index));
    // Not before it has something to show, so that nothing moves when that comes.
    if (this.#chart || this.names.some((name) => this.#pointsOf(name).time.length > 0)) this.#makeChart(colours);
    this.#drawView();
    setText(byId("detail-note"), this.#noteText());
  }

  /** @param {string[]} colours */
  #makeChart(colours) {
    if (this.#chart && this.#colours.join() === colours.join()) return;
    this.#chart?.destroy();
    this.#colours = colours;
    this.#chart = bigChart(this.#plot, colours, {
      onPoint: (at) => this.#point(at),
      onZoom: (view) => this.#setView(view),
      onResize: () => this.#drawView(),
    });
  }

  /** Draws the visible part of what is there. */
  #drawView() {
    const chart = this.#chart;
    const tracks = this.names.map((name) => ({ name, points: this.#pointsOf(name) }));
    const scope = { range: this.#range, view: this.#view, columns: chart?.columns() ?? FEW_COLUMNS };
    const make = () => (tracks.length > 1 ? comparison(tracks, scope) : single(tracks[0], scope));
    let picture = make();
    const view = this.#view && within(this.#view, picture.whole);
    if (view?.from !== this.#view?.from || view?.to !== this.#view?.to) {
      // Time has moved on, so that the part is no longer there.
      this.#view = view;
      scope.view = view;
      picture = make();
    }
    this.#picture = picture;
    this.#legend.show(picture, this.names, this.#colours);
    this.#legend.showValues(picture, this.#selected(picture));
    chart?.show(picture, this.#view ?? picture.whole, this.#areSamples());
    find(this.#element, ".reset").hidden = this.#view === null;
    this.#plot.setAttribute("aria-valuemax", String(Math.max(picture.time.length - 1, 0)));
    if (this.#isByPointer && chart) this.#point(chart.pointedAt());
    else this.#showCursor();
  }

  /** @param {string} name @returns {Points} */
  #pointsOf(name) {
    const points = this.#range === LIVE ? this.#store.company(name)?.points : this.#histories.get(name)?.points;
    return points ?? NOTHING;
  }

  #areSamples() {
    return this.#picture?.tracks.some(({ points }) => sampleStep(this.#range, points.time) > 0) ?? false;
  }

  #noteText() {
    const histories = [...this.#histories.values()];
    if (histories.some(({ hasFailed }) => hasFailed)) return "The history cannot be read at the moment. Trying again.";
    if (histories.some(({ points }) => !points)) return "Loading";
    return this.#picture ? note(this.#picture, this.#range, Date.now()) : "";
  }

  /** @param {Span | null} view */
  #setView(view) {
    this.#view = view && this.#picture ? within(view, this.#picture.whole) : null;
    this.#drawView();
  }

  /** @param {number} factor */
  #zoom(factor) {
    const picture = this.#picture;
    if (!picture) return;
    const view = this.#view ?? picture.whole;
    const at = this.#cursorAt;
    const isVisible = at !== null && at >= view.from && at <= view.to;
    this.#setView(zoomed(view, picture.whole, factor, isVisible ? at : this.#range === LIVE ? view.to : middle(view)));
  }

  /** @param {number} parts */
  #pan(parts) {
    if (!this.#view || !this.#picture) return;
    this.#setView(panned(this.#view, this.#picture.whole, parts * (this.#view.to - this.#view.from)));
  }

  /** @param {number} steps */
  #moveCursor(steps) {
    const picture = this.#picture;
    if (!picture || picture.time.length === 0) return;
    const view = this.#view ?? picture.whole;
    const before = this.#selected(picture);
    const isFresh = before < 0 && Number.isFinite(steps);
    const index = isFresh ? nearest(picture, view.to) : moved(picture, Math.max(before, 0), steps);
    this.#isByPointer = false;
    const at = picture.time[index];
    this.#cursorAt = at;
    this.#cursorIndex = index;
    const outside = at < view.from ? at - view.from : at > view.to ? at - view.to : 0;
    if (outside !== 0 && this.#view) this.#setView(panned(this.#view, picture.whole, outside));
    else this.#showCursor();
  }

  /** The column at the cursor; -1 without one. @param {Picture} picture */
  #selected(picture) {
    if (this.#cursorAt === null) return -1;
    if (picture.time[this.#cursorIndex] === this.#cursorAt) return this.#cursorIndex;
    this.#cursorIndex = nearest(picture, this.#cursorAt);
    return this.#cursorIndex;
  }

  /** @param {number | null} at */
  #point(at) {
    // Without a pointer on it, the chart leaves the keyboard's cursor alone.
    if (at === null && !this.#isByPointer) return;
    this.#isByPointer = at !== null;
    this.#cursorAt = at;
    this.#showCursor();
  }

  #leave() {
    this.#isByPointer = false;
    this.#cursorAt = null;
    this.#showCursor();
  }

  /** Reads out the column at the cursor. */
  #showCursor() {
    const [picture, chart] = [this.#picture, this.#chart];
    if (!picture || !chart) return;
    const index = this.#selected(picture);
    this.#legend.showValues(picture, index);
    const place = index < 0 ? undefined : chart.place(index);
    if (!this.#isByPointer) chart.moveTo(place ? index : null);
    this.#tip.hidden = !place;
    if (index < 0) return;
    const read = readout(picture, index, Date.now());
    this.#plot.setAttribute("aria-valuenow", String(index));
    this.#plot.setAttribute("aria-valuetext", sentence(read));
    if (place) showTip(this.#tip, read, place, this.#colours);
  }

  /** Hands what the chart shows to the user as a file. */
  #save() {
    const picture = this.#picture;
    if (!picture) return;
    const text = csv(picture.tracks, this.#view ?? picture.whole);
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = fileName(this.names, this.#range, Date.now());
    link.click();
    // The download has begun when the click returns, but not every browser has read the file by then.
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}

/** @param {Span} span */
function middle({ from, to }) {
  return (from + to) / 2;
}
