/**
 * The detail view: one company's newest window in full, and a chart of a selectable range.
 */
import { bigChart } from "./big-chart.js";
import { isRange, RANGES } from "./contract.js";
import { byId, factSetter, find, setText, span } from "./dom.js";
import { companyColour } from "./drawing.js";
import { ago, clock, count, price, when } from "./format.js";
import { priceSetter } from "./price.js";
import { extended } from "./ranges.js";
import { isQuiet } from "./store.js";

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./store.js").Points} Points */

/** The range of the newest windows, which the page holds already. */
const LIVE = "live";
const CHOICES = [
  { name: LIVE, label: "Live" },
  ...Object.entries(RANGES).map(([name, { label }]) => ({ name, label })),
];
const RETRY_MS = 3000;

export class Detail {
  #element = byId("detail");
  #name;
  #onChange;
  #range = LIVE;
  /** The points of the selected range; undefined for LIVE and while they are loaded. @type {Points | undefined} */
  #history;
  /** The points in the chart. @type {Points} */
  #shown = { time: [], avgPrice: [], buy: [], sell: [] };
  /** @type {ReturnType<typeof bigChart> | undefined} */
  #chart;
  #leaving = new AbortController();
  #showPrice;
  #fact;
  #lastTime = 0;

  /**
   * @param {string} name  the company's
   * @param {() => void} onChange  called when the selected range or its points change; calls `show`
   */
  constructor(name, onChange) {
    this.#name = name;
    this.#onChange = onChange;
    const { content } = /** @type {HTMLTemplateElement} */ (byId("detail-template"));
    this.#element.replaceChildren(content.cloneNode(true));
    this.#showPrice = priceSetter(this.#element);
    this.#fact = factSetter(this.#element);
    setText(find(this.#element, "h1"), name);
    const plot = find(this.#element, ".plot");
    plot.setAttribute("aria-label", `Chart of ${name}: arrow keys move through its windows`);
    plot.setAttribute("aria-valuetext", "No window selected");
    this.#createRanges();
    this.#listenToKeys(plot);
    find(this.#element, ".reset").addEventListener("click", () => this.#chart?.showAll());
  }

  focus() {
    find(this.#element, "h1").focus();
  }

  destroy() {
    this.#leaving.abort();
    this.#chart?.destroy();
    this.#element.replaceChildren();
  }

  /** @param {Company} company */
  show(company) {
    const { newest, points, colour } = company;
    const element = this.#element;
    element.style.setProperty("--colour", `var(${companyColour(colour)})`);
    this.#showPrice(company);
    this.#fact("buy", price(newest.buy?.avgPrice));
    this.#fact("sell", price(newest.sell?.avgPrice));
    this.#fact("low", price(newest.minPrice));
    this.#fact("high", price(newest.maxPrice));
    this.#fact("count", newest.count === undefined ? "–" : count(newest.count));
    this.#fact("closed", clock(newest.time));
    for (const line of /** @type {const} */ (["buy", "sell"])) {
      find(element, `[data-line="${line}"]`).hidden = !newest[line];
    }
    this.#chart ??= bigChart(find(element, ".plot"), companyColour(colour), {
      onCursor: (index, left, top) => this.#readOut(index, left, top),
      onZoom: (isZoomed) => {
        find(element, ".reset").hidden = !isZoomed;
      },
    });
    if (element.classList.contains("unknown")) {
      element.classList.remove("unknown");
      this.#note("");
    }
    if (this.#range === LIVE) this.#draw(newestPart(points, find(element, ".plot").clientWidth));
    else if (this.#history && newest.time > this.#lastTime) {
      this.#history = extended(this.#history, points, this.#lastTime, this.#rangeMs());
      this.#draw(this.#history);
    }
    this.#lastTime = newest.time;
  }

  /** @param {Company} company @param {number} now  ms since 1970 */
  tick(company, now) {
    const quiet = isQuiet(company, now);
    const since = ago(now - company.newest.seenAt);
    this.#element.classList.toggle("quiet", quiet);
    setText(find(this.#element, ".age"), quiet ? `Quiet, last window ${since}` : since);
  }

  /** Shows that there is no data for this company. @param {string} why */
  showNothing(why) {
    this.#element.classList.add("unknown");
    setText(byId("detail-note"), why);
  }

  #createRanges() {
    const fieldset = find(this.#element, ".ranges");
    for (const { name, label } of CHOICES) {
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "range", value: name, id: `range-${name}`, checked: name === LIVE });
      input.addEventListener("change", () => this.#select(name));
      const text = document.createElement("label");
      text.htmlFor = input.id;
      text.textContent = label;
      fieldset.append(input, text);
    }
  }

  /** @param {string} range */
  async #select(range) {
    this.#range = range;
    this.#history = undefined;
    this.#chart?.showAll();
    if (range === LIVE) {
      this.#note("");
      this.#onChange();
      return;
    }
    this.#note("Loading");
    while (this.#range === range && !this.#leaving.signal.aborted) {
      const history = await fetchHistory(this.#name, range, this.#leaving.signal);
      if (this.#range !== range || this.#leaving.signal.aborted) return;
      if (history) {
        this.#history = history;
        this.#lastTime = history.time.at(-1) ?? 0;
        this.#note(describe(history, this.#rangeMs()));
        this.#draw(history);
        this.#onChange();
        return;
      }
      this.#note("The history cannot be read at the moment. Trying again.");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** @param {string} text */
  #note(text) {
    setText(byId("detail-note"), text);
  }

  #rangeMs() {
    return isRange(this.#range) ? RANGES[this.#range].ms : 0;
  }

  /** @param {Points} points */
  #draw(points) {
    this.#shown = points;
    const plot = find(this.#element, ".plot");
    plot.setAttribute("aria-valuemax", String(Math.max(points.time.length - 1, 0)));
    this.#chart?.show(points);
  }

  /** @param {number | null} index @param {number} left @param {number} top */
  #readOut(index, left, top) {
    const tip = find(this.#element, ".tip");
    const plot = find(this.#element, ".plot");
    tip.hidden = index === null;
    if (index === null) return;
    const { time, avgPrice, buy, sell } = this.#shown;
    if (time[index] === undefined) return;
    const at = when(time[index], Date.now());
    const lines = [
      { name: "Average", value: avgPrice[index], line: "average" },
      { name: "Buy", value: buy[index], line: "buy" },
      { name: "Sell", value: sell[index], line: "sell" },
    ].filter(({ value }) => typeof value === "number");
    tip.replaceChildren(
      span("time", at),
      ...lines.map(({ name, value, line }) => {
        const row = span("row", name);
        row.dataset.line = line;
        row.append(span("value", price(value)));
        return row;
      }),
    );
    const width = tip.offsetWidth;
    const isLeft = left + width + 24 > plot.clientWidth;
    tip.style.transform = `translate(${isLeft ? left - width - 14 : left + 14}px, ${Math.max(top - 36, 8)}px)`;
    plot.setAttribute("aria-valuenow", String(index));
    plot.setAttribute(
      "aria-valuetext",
      `${at}: ${lines.map(({ name, value }) => `${name} ${price(value)}`).join(", ")}`,
    );
  }

  /** @param {HTMLElement} plot */
  #listenToKeys(plot) {
    plot.addEventListener("keydown", (event) => {
      const last = this.#shown.time.length - 1;
      const now = Number(plot.getAttribute("aria-valuenow"));
      const isFresh = find(this.#element, ".tip").hidden;
      const targets = {
        ArrowLeft: isFresh ? last : now - 1,
        ArrowRight: isFresh ? last : now + 1,
        PageUp: now - 10,
        PageDown: now + 10,
        Home: 0,
        End: last,
      };
      if (event.key === "Escape") this.#chart?.leave();
      if (!(event.key in targets)) return;
      event.preventDefault();
      const target = targets[/** @type {keyof typeof targets} */ (event.key)];
      this.#chart?.moveTo(Math.min(Math.max(target, 0), last));
    });
    plot.addEventListener("blur", () => this.#chart?.leave());
  }
}

/**
 * @param {string} company @param {string} range @param {AbortSignal} signal
 * @returns {Promise<Points | undefined>} undefined when it cannot be read at the moment
 */
async function fetchHistory(company, range, signal) {
  try {
    const response = await fetch(`history?${new URLSearchParams({ company, range })}`, { signal });
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}

/** As many of the newest points as the width can show apart. @param {Points} points @param {number} width  px */
function newestPart({ time, avgPrice, buy, sell }, width) {
  const limit = Math.max(60, Math.floor(width / 3.5));
  return {
    time: time.slice(-limit),
    avgPrice: avgPrice.slice(-limit),
    buy: buy.slice(-limit),
    sell: sell.slice(-limit),
  };
}

/** @param {Points} history @param {number} span */
function describe(history, span) {
  const { time } = history;
  if (time.length === 0) return "No windows in this range.";
  const covered = (time[time.length - 1] - time[0]) / span;
  return covered < 0.9 ? `${count(time.length)} windows in this range.` : "";
}
