/**
 * The page: messages of the live view go into the store, and the overview or the detail view shows it.
 */
import { read, write } from "./address.js";
import { Alerts } from "./alerts.js";
import { Connection } from "./connection.js";
import { RECENT_AVERAGES } from "./contract.js";
import { DetailLoader } from "./detail-loader.js";
import { byId, setData, setText } from "./dom.js";
import { count, price } from "./format.js";
import { Freshness } from "./freshness.js";
import { Overview } from "./overview.js";
import { Past } from "./past.js";
import { Pause } from "./pause.js";
import { Recent } from "./recent.js";
import { status } from "./status.js";
import { Store } from "./store.js";
import { Thresholds } from "./thresholds.js";
import { Toolbar } from "./toolbar.js";
import { ownVersion, reloadOnce } from "./version.js";

/** The page is drawn at most so often, however many windows close. */
const REDRAW_MS = 100;

const store = new Store();
const recent = new Recent(store, planRedraw);
const past = new Past(() => overview.refresh());
const pause = new Pause();
const freshness = new Freshness();
const thresholds = new Thresholds(localStorageOrNone());
const alerts = new Alerts(
  thresholds,
  () => store.companies(),
  () => overview.refresh(),
);
const overview = new Overview(
  read(location),
  {
    companies: () => store.companies(),
    pastPrice: (name) => past.priceOf(name),
    side: ({ name, newest }) => thresholds.side(name, newest.avgPrice),
    now: viewTime,
    want: (names, depth) => recent.want(names, depth),
  },
  sortBy,
);
const toolbar = new Toolbar(choose, () => overview.focus());
const detailLoader = new DetailLoader(() => {
  openDetail();
  redraw();
}, planRedraw);
/** @type {import("./detail.js").Detail | undefined} */
let detail;
/** Whether the view of one company gets the focus when it is there. */
let isFocusDue = false;
/** The company in the address; empty for the overview. */
let chosen = "";
/** Where the overview was scrolled to. */
let overviewTop = 0;

let hasEverConnected = false;
let isOpen = false;
/** Whether a live view has told the whole market. */
let isMarketTold = false;
/** Why a live view refuses this page; or empty. */
let refusal = "";
/** The live view's last `alive`. */
let condition = { isCurrent: true, lagMs: 0, server: "", version: "", hiddenCompanies: 0 };
/** The live view's clock minus ours, ms. */
let clockOffset = 0;
/** When the page was paused, by the live view's clock. */
let pausedAt = 0;
let isRedrawPlanned = false;
let redrawnAt = Number.NEGATIVE_INFINITY;

const connection = new Connection(receive, (open, why) => {
  isOpen = open;
  refusal = why;
  if (open) hasEverConnected = true;
  planRedraw();
});

/** @param {any} message @returns {boolean} whether the page has all it needs now */
function receive(message) {
  if (message.type === "alive") {
    clockOffset = message.now - Date.now();
    const before = condition;
    condition = { ...condition, ...message };
    const { isCurrent, version, hiddenCompanies } = before;
    const isSame =
      isCurrent === condition.isCurrent &&
      version === condition.version &&
      hiddenCompanies === condition.hiddenCompanies;
    if (!isSame) planRedraw();
    return false;
  }
  if (pause.isOn) return pause.keep(message);
  planRedraw();
  return take(message);
}

/** @param {any} message @returns {boolean} whether the page has all it needs now */
function take(message) {
  switch (message.type) {
    case "market":
      if (!store.receiveMarket(message)) return false;
      isMarketTold = true;
      return true;
    case "averages":
      store.receiveAverages(message.averages);
      freshness.note(message.averages, now());
      alerts.check();
      return true;
    case "changed":
      store.receiveChanged(message.companies);
      return true;
    case "prices":
      // The original live view, beside ours behind the same load balancer, says nothing else.
      store.receivePrices(message.prices, now());
      condition = { ...condition, isCurrent: true, lagMs: 0, server: "", version: "" };
      isMarketTold = true;
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

/** The time that the page shows. */
function viewTime() {
  return pause.isOn ? pausedAt : now();
}

/** Redraws at most once in REDRAW_MS, and never in a hidden tab. */
function planRedraw() {
  if (isRedrawPlanned) return;
  isRedrawPlanned = true;
  setTimeout(
    () =>
      requestAnimationFrame(() => {
        isRedrawPlanned = false;
        redrawnAt = performance.now();
        redraw();
      }),
    Math.max(redrawnAt + REDRAW_MS - performance.now(), 0),
  );
}

function redraw() {
  const isEmpty = store.companies().length === 0;
  const isOverview = chosen === "" && !isEmpty;
  byId("waiting").hidden = !(isEmpty && isInformed());
  byId("overview").hidden = !isOverview;
  byId("toolbar").hidden = !isOverview;
  byId("detail").hidden = isEmpty || chosen === "";
  setData(document.documentElement, "view", isOverview ? overview.view : chosen ? "detail" : "waiting");
  if (isMarketTold) detailLoader.load();
  if (isOverview) {
    toolbar.show(read(location), overview.view);
    overview.show(condition.hiddenCompanies);
  } else if (!isEmpty) {
    showDetail();
  }
  showRest();
}

/** Whether the page knows what there is, or that it cannot be known now. */
function isInformed() {
  return hasEverConnected && (isMarketTold || !condition.isCurrent);
}

function showDetail() {
  if (!detail) {
    detailLoader.load();
    return;
  }
  const company = store.company(chosen);
  recent.want(detail.names, RECENT_AVERAGES);
  if (company) {
    detail.show(company);
    detail.tick(company, viewTime());
  } else detail.showNothing(`There is no window of ${chosen} yet.`);
  if (!isFocusDue) return;
  isFocusDue = false;
  scrollTo(0, 0);
  detail.focus();
}

/** Shows the view of the chosen company, unless it has yet to be loaded. */
function openDetail() {
  const { Detail } = detailLoader;
  if (!Detail || !chosen || detail) return;
  const { range, with: others } = read(location);
  detail = new Detail(chosen, { range, with: others, store, onChange: planRedraw, onState: keep });
}

/** Updates what changes with time alone. */
function tick() {
  const time = viewTime();
  overview.tick(time);
  const company = store.company(chosen);
  if (company) detail?.tick(company, time);
  showRest();
}

/** What is there in every view. */
function showRest() {
  showStatus();
  showPause();
  const company = store.company(chosen);
  document.title = company ? `${company.name} ${price(company.newest.avgPrice)} · Stockmarket` : "Stockmarket";
}

function showStatus() {
  const companies = store.companies();
  const { isCurrent, lagMs } = condition;
  const told = status({
    isOpen: isOpen && isInformed(),
    hasEverConnected: isInformed(),
    refusal,
    isCurrent,
    lagMs,
    companies,
    now: viewTime(),
  });
  setData(document.documentElement, "state", told.state);
  setText(byId("waiting-why"), told.why);
  freshness.show(told, { companies, condition, now: now() });
  const isOther = isOpen && condition.version !== "" && condition.version !== ownVersion();
  byId("reload").hidden = !isOther;
  if (isOther && read(location).kiosk) reloadOnce();
}

function showPause() {
  const button = byId("pause");
  button.setAttribute("aria-pressed", String(pause.isOn));
  setText(byId("pause-text"), pause.isOn ? `Paused, ${updatesText(pause.waiting)}` : "Pause");
  document.documentElement.toggleAttribute("data-paused", pause.isOn);
}

/** @param {number} updates */
function updatesText(updates) {
  return updates === 1 ? "1 update waits" : `${count(updates)} updates wait`;
}

function togglePause() {
  if (pause.isOn) {
    const messages = pause.end();
    if (messages) messages.forEach(take);
    else connection.reconnect();
  } else {
    pausedAt = now();
    pause.start();
  }
  redraw();
}

/** Storage that a browser may deny. */
function localStorageOrNone() {
  try {
    return localStorage;
  } catch {
    return { getItem: () => null, setItem: () => {} };
  }
}

/** Puts a choice into the address, and shows it. @param {Partial<import("./address.js").Address>} patch */
function choose(patch) {
  const address = { ...read(location), ...patch };
  history.replaceState(history.state, "", write(address));
  follow(address);
}

/** Puts a choice of the view of one company into the address. @param {import("./detail.js").State} state */
function keep(state) {
  history.replaceState(history.state, "", write({ ...read(location), ...state }));
}

/** Shows what the address says of the overview. @param {import("./address.js").Address} address */
function follow(address) {
  past.want(address.change === "open" ? undefined : address.change);
  overview.go(address);
  document.documentElement.toggleAttribute("data-kiosk", address.kiosk);
  if (store.companies().length > 0) redraw();
}

/** Symbols are sorted from A, numbers from the largest; again, the other way round. @param {string} column */
function sortBy(column) {
  const { sort } = read(location);
  const isDescending = sort.column === column ? !sort.isDescending : column !== "symbol";
  choose({ sort: { column, isDescending } });
}

function route() {
  const address = read(location);
  const name = address.company;
  const isFirst = detail === undefined && chosen === "" && !hasEverConnected;
  if (name === chosen && !isFirst) {
    detail?.setState({ range: address.range, with: address.with });
    follow(address);
    return;
  }
  const left = chosen;
  if (left === "") overviewTop = scrollY;
  chosen = name;
  detail?.destroy();
  detail = undefined;
  // Moves the focus, so that keyboards and screen readers continue in the new view.
  isFocusDue = chosen !== "" && !isFirst;
  if (chosen) {
    overview.leave();
    detailLoader.load();
    openDetail();
  }
  follow(address);
  redraw();
  if (isFirst || chosen) return;
  scrollTo(0, overviewTop);
  if (overview.has(left)) overview.focus(left);
  else byId("main").focus({ preventScroll: true });
}

/** Keys that work everywhere but where one writes. */
addEventListener("keydown", (event) => {
  const isWriting =
    event.target instanceof Element && event.target.matches("input:not([type=radio]), select, textarea");
  if (isWriting || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "p") togglePause();
  else if (event.key === "/" && !byId("toolbar").hidden) {
    event.preventDefault();
    toolbar.focus();
  } else if (event.key === "Escape" && !byId("toolbar").hidden) toolbar.clear();
});
byId("pause").addEventListener("click", togglePause);
byId("reload").addEventListener("click", () => location.reload());
byId("set-alert").addEventListener("click", () => alerts.open(overview.active()));
// The fragment is the company's name, so the skip link must not change it.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", route);
setInterval(tick, 1000);
route();
