/**
 * The page's status, derived from what the page knows. Pure.
 */
import { ago, clock } from "./format.js";
import { isQuiet } from "./store.js";

/** A feed further behind than this says so. */
const NOTABLE_LAG_MS = 2000;

/**
 * @typedef {object} Facts
 * @property {boolean} isOpen            whether the WebSocket is open and messages arrive
 * @property {boolean} hasEverConnected
 * @property {string} refusal            why a live view refuses this page; or empty
 * @property {boolean} isCurrent         whether the live view says that its data is current
 * @property {number} lagMs              how far the live view is behind the database
 * @property {readonly import("./store.js").Company[]} companies
 * @property {number} now                ms since 1970, by the live view's clock
 */

/**
 * `state` selects the style; `why` explains the text in a sentence.
 * @typedef {{state: "connecting" | "reconnecting" | "stale" | "waiting" | "live", text: string, why: string}} Status
 */

/** @param {Facts} facts @returns {Status} */
export function status({ isOpen, hasEverConnected, refusal, isCurrent, lagMs, companies, now }) {
  const lastSeen = Math.max(...companies.map(({ newest }) => newest.seenAt), 0);
  const since = lastSeen ? `, prices of ${clock(lastSeen)}` : "";
  if (!isOpen && refusal) return { state: "reconnecting", text: `Refused${since}`, why: refusal };
  if (!isOpen && !hasEverConnected) {
    return { state: "connecting", text: "Connecting", why: "The page is connecting to a live view." };
  }
  if (!isOpen) {
    const why = "The connection to the live view is lost. The page connects again by itself.";
    return { state: "reconnecting", text: `Reconnecting${since}`, why };
  }
  if (!isCurrent && lagMs > NOTABLE_LAG_MS) {
    const why = `The live view is behind the database: the newest change that it has read was ${ago(lagMs)}.`;
    return { state: "stale", text: `Behind${since}`, why };
  }
  if (!isCurrent) {
    const why = "The live view cannot reach the database. It keeps trying, and so does this page.";
    return { state: "stale", text: `Database away${since}`, why };
  }
  if (companies.length === 0) {
    const why = "No company has a full window of trades yet. The first average appears here by itself.";
    return { state: "waiting", text: "Waiting", why };
  }
  if (companies.every((company) => isQuiet(company, now))) {
    const why = "The database is there, but no company has had a window for longer than usual.";
    return { state: "stale", text: `Stale${since}`, why };
  }
  return { state: "live", text: "Live", why: "Every price is shown as soon as it is stored." };
}
