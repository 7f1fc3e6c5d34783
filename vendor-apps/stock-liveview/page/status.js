/**
 * The page's status, derived from what the page knows. Pure.
 */
import { clock } from "./format.js";
import { isQuiet } from "./store.js";

/**
 * @typedef {object} Facts
 * @property {boolean} isOpen            whether the WebSocket is open and messages arrive
 * @property {boolean} hasEverConnected
 * @property {boolean} isCurrent         whether the live view says that its data is current
 * @property {number} lastNews           when prices last arrived, ms since 1970; 0 before the first
 * @property {import("./store.js").Company[]} companies
 * @property {number} now                ms since 1970, by the live view's clock
 */

/** `state` selects the style. @typedef {{state: "connecting" | "reconnecting" | "stale" | "waiting" | "live", text: string}} Status */

/** @param {Facts} facts @returns {Status} */
export function status({ isOpen, hasEverConnected, isCurrent, lastNews, companies, now }) {
  const since = pricesOf(companies, lastNews);
  if (!isOpen && !hasEverConnected) return { state: "connecting", text: "Connecting" };
  if (!isOpen) return { state: "reconnecting", text: `Reconnecting${since}` };
  if (!isCurrent) return { state: "stale", text: companies.length > 0 ? `Database away${since}` : "Database away" };
  if (companies.length === 0) return { state: "waiting", text: "Waiting" };
  if (companies.every((company) => isQuiet(company, now))) return { state: "stale", text: `Stale${since}` };
  return { state: "live", text: "Live" };
}

/** Says of when the prices are: the newest window, or without windows the last message. @param {import("./store.js").Company[]} companies @param {number} lastNews */
function pricesOf(companies, lastNews) {
  if (!lastNews) return "";
  const newest = Math.max(...companies.map((company) => company.newest.time), 0);
  return `, prices of ${clock(newest || lastNews)}`;
}
