/**
 * The overview: a card for every company, and a row of bars for each below.
 */
import { byId, factSetter, find, fromTemplate, setText } from "./dom.js";
import { companyColour } from "./drawing.js";
import { ago, count, price } from "./format.js";
import { priceSetter } from "./price.js";
import { average, rhythm } from "./rhythm.js";
import { sparkline } from "./sparkline.js";
import { isQuiet } from "./store.js";

/** @typedef {import("./store.js").Company} Company */

/** Windows in a card's chart: a minute at the default rate. */
export const CARD_POINTS = 60;

/** A part of the page. `show` is called for new data, `tick` every second. @typedef {{element: HTMLElement, show: (company: Company) => void, tick: (company: Company, now: number) => void}} View */

export class Overview {
  #cards;
  #rows;
  #about;
  /** @type {Map<string, {card: View, row: View}>} */
  #views = new Map();

  constructor() {
    this.#cards = byId("cards");
    this.#rows = byId("rhythm");
    this.#about = byId("overview-about");
  }

  /** @param {readonly Company[]} companies  in alphabetical order */
  show(companies) {
    const names = new Set(companies.map(({ name }) => name));
    for (const [name, { card, row }] of this.#views) {
      if (names.has(name)) continue;
      card.element.remove();
      row.element.remove();
      this.#views.delete(name);
    }
    companies.forEach((company, index) => {
      let views = this.#views.get(company.name);
      if (!views) {
        views = { card: createCard(company), row: createRow(company) };
        this.#views.set(company.name, views);
        this.#cards.insertBefore(views.card.element, this.#cards.children[index] ?? null);
        this.#rows.insertBefore(views.row.element, this.#rows.children[index] ?? null);
      }
      views.card.show(company);
      views.row.show(company);
    });
    const trades = companies[0]?.newest.count;
    setText(
      this.#about,
      trades === undefined
        ? "Over each window of trades, as it closes"
        : `Over each window of ${count(trades)} trades, as it closes`,
    );
  }

  /** @param {readonly Company[]} companies @param {number} now  ms since 1970 */
  tick(companies, now) {
    for (const company of companies) this.#views.get(company.name)?.card.tick(company, now);
  }
}

/** @param {Company} company @returns {View} */
function createCard({ name, colour: number }) {
  const element = fromTemplate("card-template");
  element.style.setProperty("--colour", `var(${companyColour(number)})`);
  element.dataset.company = name;
  const link = /** @type {HTMLAnchorElement} */ (find(element, "h2 a"));
  link.textContent = name;
  link.href = `#${encodeURIComponent(name)}`;
  const chart = find(element, ".chart");
  const age = find(element, ".age");
  const facts = factSetter(element);
  const showPrice = priceSetter(element);
  const balance = find(element, ".balance span");
  const track = find(element, ".track span");
  /** @type {ReturnType<typeof sparkline> | undefined} */
  let draw;

  return {
    element,
    show(company) {
      const { newest, points } = company;
      showPrice(company);
      draw ??= sparkline(chart, companyColour(number));
      draw({
        time: points.time.slice(-CARD_POINTS),
        avgPrice: points.avgPrice.slice(-CARD_POINTS),
        buy: [],
        sell: [],
      });
      chart.setAttribute("aria-label", chartLabel(points.avgPrice.slice(-CARD_POINTS)));
      facts("buy", price(newest.buy?.avgPrice));
      facts("sell", price(newest.sell?.avgPrice));
      facts("low", price(newest.minPrice));
      facts("high", price(newest.maxPrice));
      const { buy, sell, minPrice, maxPrice, avgPrice } = newest;
      find(element, ".sides").hidden = !buy || !sell;
      if (buy && sell) balance.style.inlineSize = percent(buy.count, buy.count + sell.count);
      find(element, ".spread").hidden = minPrice === undefined || maxPrice === undefined;
      if (minPrice !== undefined && maxPrice !== undefined) {
        track.style.insetInlineStart = percent(avgPrice - minPrice, maxPrice - minPrice);
      }
    },
    tick(company, now) {
      const quiet = isQuiet(company, now);
      element.classList.toggle("quiet", quiet);
      const since = ago(now - company.newest.seenAt);
      setText(age, quiet ? `Quiet, last ${since}` : since);
    },
  };
}

/** @param {Company} company @returns {View} */
function createRow({ name, colour: number }) {
  const element = fromTemplate("rhythm-template");
  element.style.setProperty("--colour", `var(${companyColour(number)})`);
  find(element, ".rhythm-name").textContent = name;
  const mean = find(element, ".rhythm-mean");
  const canvas = /** @type {HTMLCanvasElement} */ (find(element, "canvas"));
  const draw = rhythm(canvas, companyColour(number));
  return {
    element,
    show({ points: { avgPrice } }) {
      draw(avgPrice);
      const middle = average(avgPrice);
      const deviation = Math.sqrt(average(avgPrice.map((value) => (value - middle) ** 2)));
      setText(mean, `${price(middle)} ± ${price(deviation)}`);
      canvas.setAttribute(
        "aria-label",
        `${name}, ${count(avgPrice.length)} windows: mean ${price(middle)}, standard deviation ${price(deviation)}`,
      );
    },
    tick() {},
  };
}

/** @param {number[]} prices */
function chartLabel(prices) {
  const lowest = price(Math.min(...prices));
  const highest = price(Math.max(...prices));
  return `The last ${prices.length} windows: from ${price(prices[0])} to ${price(prices.at(-1))}, lowest ${lowest}, highest ${highest}`;
}

/** @param {number} part @param {number} whole */
function percent(part, whole) {
  const share = whole > 0 ? part / whole : 0.5;
  return `${(Math.min(Math.max(share, 0), 1) * 100).toFixed(2)}%`;
}
