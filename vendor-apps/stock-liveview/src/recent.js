/**
 * The newest averages of several companies, from memory: what the page draws before anything is read from the database.
 */
import { MAX_NAME_LENGTH, MAX_RECENT_POINTS } from "../page/contract.js";
import { columns } from "./average.js";

/**
 * @param {import("./market.js").Market} market
 * @param {URLSearchParams} query  `company`, once for each, and `limit`
 * @returns {import("./history.js").Answer} 400 for a bad query
 */
export function recentAnswer(market, query) {
  const companies = [...new Set(query.getAll("company"))];
  const limit = /^\d{1,4}$/.test(query.get("limit") ?? "") ? Number(query.get("limit")) : 0;
  const isValid =
    companies.length > 0 &&
    companies.every(({ length }) => length > 0 && length <= MAX_NAME_LENGTH) &&
    limit > 0 &&
    companies.length * limit <= MAX_RECENT_POINTS;
  if (!isValid) {
    const error = `ask for companies and a limit, at most ${MAX_RECENT_POINTS} averages together`;
    return { status: 400, body: { error }, maxAge: 0 };
  }
  const known = companies.flatMap((company) => {
    const recent = market.recent(company).slice(-limit);
    return recent.length > 0 ? [{ company, id: recent.map(({ _id }) => _id), ...columns(recent) }] : [];
  });
  return { status: 200, body: { companies: known }, maxAge: 0 };
}
