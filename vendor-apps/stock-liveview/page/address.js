/**
 * What the page's address says: which company, over which range, compared with which others. Pure.
 */
import { LIVE } from "./ranges.js";

/** @typedef {{company: string, range?: string, with: string[]}} Address */

/** @param {string} fragment  as in `location.hash` @returns {Address} */
export function parseAddress(fragment) {
  const [name, query = ""] = fragment.replace(/^#/, "").split("?", 2);
  const said = new Map(query.split("&").map((pair) => /** @type {[string, string]} */ (pair.split("=", 2))));
  const others = (said.get("with") ?? "").split(",").map(decoded);
  return { company: decoded(name), range: said.get("range"), with: others.filter(Boolean) };
}

/** @param {Address} address */
export function formatAddress({ company, range, with: others }) {
  const said = [];
  if (range && range !== LIVE) said.push(`range=${range}`);
  if (others.length > 0) said.push(`with=${others.map(encodeURIComponent).join(",")}`);
  return `#${encodeURIComponent(company)}${said.length > 0 ? `?${said.join("&")}` : ""}`;
}

/** As a person may type it. @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
