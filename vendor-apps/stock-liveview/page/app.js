/**
 * The page: messages of the live view go into the store, and the overview or the detail view shows it.
 */
import { read, write } from "./address.js";
import { Connection } from "./connection.js";
import { RECENT_AVERAGES } from "./contract.js";
import { Detail } from "./detail.js";
import { byId, setText } from "./dom.js";
import { clock, price } from "./format.js";
import { CARD_POINTS, Overview } from "./overview.js";
import { Recent } from "./recent.js";
import { status } from "./status.js";
import { Store } from "./store.js";

const store = new Store();
const overview = new Overview();
const recent = new Recent(store, planRedraw);
/** @type {Detail | undefined} */
let detail;
/** The company in the address; empty for the overview. */
let chosen = "";

let hasEverConnected = false;
let isOpen = false;
/** Whether the live view says that its data is current. */
let isCurrent = true;
/** How far the live view is behind the database, ms. */
let lagMs = 0;
/** Why a live view refuses this page; or empty. */
let refusal = "";
/** Version of the page, as the first live view told it. */
let version = "";
/** The live view's clock minus ours, ms. */
let clockOffset = 0;
let serverName = "";
let isRedrawPlanned = false;

new Connection(receive, (open, why) => {
  isOpen = open;
  refusal = why;
  if (open) hasEverConnected = true;
  planRedraw();
});

/** @param {any} message @returns {boolean} whether the page has all it needs now */
function receive(message) {
  planRedraw();
  switch (message.type) {
    case "alive":
      clockOffset = message.now - Date.now();
      ({ isCurrent, lagMs, server: serverName } = message);
      version ||= message.version;
      return false;
    case "market":
      return store.receiveMarket(message);
    case "averages":
      store.receiveAverages(message.averages);
      return true;
    case "changed":
      store.receiveChanged(message.companies);
      return true;
    default:
      // A newer live view may send other types.
      return false;
  }
}

/** The time by the live view's clock. */
function now() {
  return Date.now() + clockOffset;
}

/** Redraws at most once for each frame, and never in a hidden tab. */
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
    recent.want(
      companies.map(({ name }) => name),
      CARD_POINTS,
    );
    overview.show(companies);
  } else {
    const company = store.company(chosen);
    recent.want(detail?.names ?? [chosen], RECENT_AVERAGES);
    if (company) detail?.show(company);
    else detail?.showNothing(`There is no window of ${chosen} yet.`);
  }
  tick();
}

/** Updates what changes with time alone. */
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
  const { state, text } = status({
    isOpen,
    hasEverConnected,
    refusal,
    isCurrent,
    lagMs,
    companies,
    now: now(),
  });
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
  const { company: name, range, with: others } = read(location);
  if (name === chosen && detail) {
    detail.setState({ range, with: others });
    return;
  }
  const isFirst = detail === undefined && chosen === "" && !hasEverConnected;
  chosen = name;
  detail?.destroy();
  const onState = (/** @type {import("./detail.js").State} */ state) =>
    history.replaceState(null, "", write({ ...read(location), ...state }));
  detail = chosen ? new Detail(chosen, { range, with: others, store, onChange: planRedraw, onState }) : undefined;
  redraw();
  scrollTo(0, 0);
  // Moves the focus, so that keyboards and screen readers continue in the new view.
  if (!isFirst) (detail ?? { focus: () => byId("main").focus({ preventScroll: true }) }).focus();
}

// The fragment is the company's name, so the skip link must not change it.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", route);
setInterval(tick, 1000);
route();
