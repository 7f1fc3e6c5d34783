/**
 * Which companies the overview shows, and in which order. Pure.
 */

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./address.js").Sort} Sort */
/** The price that a company's change is told against, if there is one. @typedef {(company: Company) => number | undefined} Base */

/** What a column sorts by; undefined for companies without. @type {Record<string, (company: Company, base: Base) => number | undefined>} */
const VALUES = {
  price: ({ newest }) => newest.avgPrice,
  change: (company, base) => relativeChange(base(company), company.newest.avgPrice),
  volume: ({ newest: { count, buy, sell } }) => count ?? (buy && sell ? buy.count + sell.count : undefined),
  low: ({ newest }) => newest.minPrice,
  high: ({ newest }) => newest.maxPrice,
  updated: ({ newest }) => newest.seenAt,
};

/**
 * The companies whose symbol contains the text, in upper or lower case.
 * @param {readonly Company[]} companies @param {string} text
 */
export function search(companies, text) {
  const wanted = text.trim().toLowerCase();
  return wanted === "" ? companies : companies.filter(({ name }) => name.toLowerCase().includes(wanted));
}

/**
 * Companies sorted by a column. Equal ones stay in alphabetical order; those without a value come last.
 * @param {readonly Company[]} companies  in alphabetical order
 * @param {Sort} sort @param {Base} base
 * @returns {readonly Company[]}
 */
export function sorted(companies, { column, isDescending }, base) {
  const valueOf = VALUES[column];
  if (!valueOf) return isDescending ? companies.toReversed() : companies;
  const sign = isDescending ? -1 : 1;
  return companies
    .map((company) => ({ company, value: valueOf(company, base) }))
    .sort((a, b) => {
      if (a.value === undefined || b.value === undefined)
        return Number(a.value === undefined) - Number(b.value === undefined);
      return a.value < b.value ? -sign : a.value > b.value ? sign : 0;
    })
    .map(({ company }) => company);
}

/** Whether the order by a column changes as windows close. @param {Sort} sort */
export function isLive({ column }) {
  return column in VALUES;
}

/** @param {number | undefined} from @param {number} to */
function relativeChange(from, to) {
  if (from === undefined) return undefined;
  return from === 0 ? Math.sign(to) * Number.POSITIVE_INFINITY || 0 : (to - from) / Math.abs(from);
}
