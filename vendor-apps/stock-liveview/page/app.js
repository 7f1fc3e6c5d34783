/**
 * The page: what a live view tells goes into the store; the overview or the detail view shows it.
 */
import { Connection } from "./connection.js";
import { Detail } from "./detail.js";
import { clock, price } from "./format.js";
import { byId, Overview, setText } from "./overview.js";
import { isQuiet, Store } from "./store.js";

const store = new Store();
const overview = new Overview();
/** @type {Detail | undefined} */
let detail;
/** The company that the address names; empty for all of them. */
let chosen = "";

let hasEverConnected = false;
let isOpen = false;
/** Whether the live view's data is current, as it says itself. */
let isCurrent = true;
/** The live view's clock minus ours, ms. */
let clockOffset = 0;
let serverName = "";
let lastNews = 0;
let isRedrawPlanned = false;

new Connection(receive, (open) => {
  isOpen = open;
  if (open) hasEverConnected = true;
  showStatus();
});

/** @param {any} message */
function receive(message) {
  switch (message.type) {
    case "alive":
      clockOffset = message.now - Date.now();
      isCurrent = message.isCurrent;
      serverName = message.server;
      break;
    case "history":
      store.receiveHistory(message.companies);
      lastNews = now();
      break;
    case "averages":
      store.receiveAverages(message.averages);
      lastNews = now();
      break;
    // Whatever a newer live view says besides is not for this page.
  }
  planRedraw();
}

/** The time by the live view's clock. */
function now() {
  return Date.now() + clockOffset;
}

/** At most once a frame, and not at all while nobody looks. */
function planRedraw() {
  if (isRedrawPlanned) return;
  isRedrawPlanned = true;
  requestAnimationFrame(() => {
    isRedrawPlanned = false;
    redraw();
  });
}

function redraw() {
  const companies = store.companies();
  const isEmpty = companies.length === 0;
  byId("waiting").hidden = !(isEmpty && hasEverConnected);
  byId("overview").hidden = isEmpty || chosen !== "";
  byId("detail").hidden = isEmpty || chosen === "";
  if (isEmpty) {
    showWhyWaiting();
  } else if (chosen === "") {
    overview.show(companies);
  } else {
    const company = store.company(chosen);
    if (company) detail?.show(company);
    else detail?.showNothing(`There is no window of ${chosen} yet.`);
  }
  tick();
}

/** What changes with time alone. */
function tick() {
  const time = now();
  overview.tick(store.companies(), time);
  const company = store.company(chosen);
  if (company) detail?.tick(company, time);
  showStatus();
  setText(byId("clock"), clock(time));
  document.title = company ? `${company.name} ${price(company.newest.avgPrice)} · Stockmarket` : "Stockmarket";
}

function showStatus() {
  const companies = store.companies();
  const allQuiet = companies.length > 0 && companies.every((company) => isQuiet(company, now()));
  const since = lastNews
    ? `, prices of ${clock(Math.max(...companies.map(({ newest }) => newest.time), 0) || lastNews)}`
    : "";
  /** @type {[state: string, text: string]} */
  let status;
  if (!isOpen) status = hasEverConnected ? ["reconnecting", `Reconnecting${since}`] : ["connecting", "Connecting"];
  else if (!isCurrent) status = ["stale", companies.length > 0 ? `Database away${since}` : "Database away"];
  else if (companies.length === 0) status = ["waiting", "Waiting"];
  else if (allQuiet) status = ["stale", `Stale${since}`];
  else status = ["live", "Live"];
  const [state, text] = status;
  byId("status").dataset.state = state;
  document.documentElement.dataset.state = state;
  setText(byId("status-text"), text);
  setText(byId("server"), serverName ? `Served by ${serverName}` : "");
}

function showWhyWaiting() {
  setText(
    byId("waiting-why"),
    isCurrent
      ? "No company has a full window of trades yet. The first average appears here by itself."
      : "The live view cannot reach the database. It keeps trying, and so does this page.",
  );
}

function route() {
  const name = companyInAddress();
  if (name === chosen && detail) return;
  const isFirst = detail === undefined && chosen === "" && !hasEverConnected;
  chosen = name;
  detail?.destroy();
  detail = chosen ? new Detail(chosen) : undefined;
  redraw();
  scrollTo(0, 0);
  // So that a keyboard or screen reader goes on where the view changed.
  if (!isFirst) (detail ?? { focus: () => byId("main").focus({ preventScroll: true }) }).focus();
}

function companyInAddress() {
  const fragment = location.hash.slice(1);
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

// The address's fragment names a company here, so this link must not change it.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", route);
document.addEventListener("redraw", planRedraw);
setInterval(tick, 1000);
route();
