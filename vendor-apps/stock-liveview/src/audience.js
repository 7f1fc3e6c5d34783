/**
 * The audience: all connected browsers, and the messages they get. A message is encoded once for all of them. A browser
 * that cannot keep up is skipped, and gets the newest of what it missed once it has read the rest.
 *
 * Clients with the subprotocol of contract.js get the messages that README.md describes. Clients without one get only
 * `prices`, as from the original live view.
 */
import { WebSocket } from "ws";
import { SUBPROTOCOL } from "../page/contract.js";

/** @typedef {import("./market.js").Market} Market */
/** @typedef {import("./average.js").Average} Average */

/**
 * What a browser must know beside the prices.
 * @typedef {object} Condition
 * @property {string} server            name of this live view
 * @property {string} version           of the page that it serves
 * @property {boolean} isCurrent        whether the prices are up to date with the database
 * @property {number} lagMs             how far they are behind
 * @property {number} hiddenCompanies   not shown, because there are too many
 */

/** Updates within this time are merged into one message. */
const MERGE_MS = 100;
/** Browsers get an `alive` message so often, so that they notice a frozen live view. */
const ALIVE_MS = 500;
/** How often changes of the condition are looked for. */
const LOOK_MS = 250;
/** A browser that has neither answered the previous ping nor read anything by the next one is disconnected. */
const PING_MS = 10_000;
/** Companies in one part of the market: at most 256 KiB, however long their names and numbers are. */
const PART_COMPANIES = 128;
/** Companies in the first part: as many as a screen shows, so that they are there at once on a slow link. */
const FIRST_PART_COMPANIES = 32;
/** Averages in one message. */
const MAX_AVERAGES = 512;
/** A browser with more unread bytes than this is skipped until it has read them. */
const MAX_UNREAD_BYTES = 128 * 1024;
/** A browser that does not get below that limit for this long is disconnected. */
const MAX_BEHIND_MS = 20_000;
/** Without current data for this long, browsers are sent to another live view. */
const AWAY_MS = 5000;
/** The same for browsers that no other live view took: one may have become current meanwhile. */
const STALE_AWAY_MS = 30_000;

const GOING_AWAY = 1001;
const UNWANTED_MESSAGE = 1008;
const TRY_AGAIN_LATER = 1013;

/**
 * @typedef {object} Viewer
 * @property {WebSocket} socket
 * @property {"plain" | "page" | "other version"} kind  what it understands: `prices`, everything, or `alive`
 * @property {boolean} takesOld         whether it came because no live view had current prices
 * @property {number} since             when it came, ms of the monotonic clock
 * @property {boolean} hasAnswered      whether it has answered the last ping
 * @property {number} unread            bytes that it had not read at the last ping
 * @property {Picture} picture          the market that it gets
 * @property {number} nextPart          the part of it that it gets next; Infinity when it has all
 * @property {Set<string>} missed       companies that it missed news of
 * @property {number} behindSince       since when it has had too many unread bytes; Infinity otherwise
 */

/**
 * The whole market, for browsers that know nothing yet. Its parts are encoded when they are first sent, and again after
 * any news.
 * @typedef {{names: readonly string[], parts: Map<number, Buffer>}} Picture
 */

/** @type {Picture} */
const NOTHING = { names: [], parts: new Map() };

export class Audience {
  #market;
  #condition;
  /** @type {Set<Viewer>} */
  #viewers = new Set();
  /** New averages that were not sent yet, in their order. @type {Average[]} */
  #pending = [];
  /** Companies whose past changed. @type {Set<string>} */
  #changed = new Set();
  #isReloaded = false;
  /** Until something changes. @type {Picture | undefined} */
  #picture;
  #lastFlush = Number.NEGATIVE_INFINITY;
  #lastAlive = Number.NEGATIVE_INFINITY;
  #wasCurrent = false;
  #currentAt = performance.now();
  /** @type {NodeJS.Timeout | undefined} */
  #flushTimer;
  /** @type {NodeJS.Timeout[]} */
  #timers;

  /** Counters for the metrics. */
  counts = { messages: 0, leftOut: 0, letGo: 0, unanswered: 0, abusive: 0, sentElsewhere: 0 };

  /** @param {Market} market @param {() => Condition} condition */
  constructor(market, condition) {
    this.#market = market;
    this.#condition = condition;
    market.on("average", (average) => {
      this.#isNews();
      // More than browsers can draw: they read again what they show.
      if (this.#pending.length < MAX_AVERAGES) this.#pending.push(average);
      else this.#changed.add(average.company);
    });
    market.on("changed", (company) => {
      this.#isNews();
      this.#changed.add(company);
    });
    market.on("reloaded", () => {
      this.#isNews();
      this.#isReloaded = true;
    });
    this.#timers = [setInterval(() => this.#look(), LOOK_MS), setInterval(() => this.#pingAll(), PING_MS)];
  }

  get size() {
    return this.#viewers.size;
  }

  /** Bytes that browsers have not read yet. */
  get unreadBytes() {
    let bytes = 0;
    for (const { socket } of this.#viewers) bytes += socket.bufferedAmount;
    return bytes;
  }

  /**
   * Adds a browser and sends it the whole market.
   * @param {WebSocket} socket
   * @param {object} [options]
   * @param {boolean} [options.isStale]  whether it takes old prices, because no live view has current ones
   */
  welcome(socket, { isStale = false } = {}) {
    /** @type {Viewer} */
    const viewer = {
      socket,
      kind: kindOf(socket.protocol),
      takesOld: isStale,
      since: performance.now(),
      hasAnswered: true,
      unread: 0,
      picture: NOTHING,
      nextPart: Number.POSITIVE_INFINITY,
      missed: new Set(),
      behindSince: Number.POSITIVE_INFINITY,
    };
    this.#viewers.add(viewer);
    socket.on("close", () => this.#viewers.delete(viewer));
    // "close" follows; without a listener an error would end the process.
    socket.on("error", () => {});
    socket.on("pong", () => {
      viewer.hasAnswered = true;
    });
    socket.on("message", () => {
      this.counts.abusive += 1;
      socket.close(UNWANTED_MESSAGE, "this live view only talks");
    });
    if (viewer.kind !== "plain") this.#send(viewer, this.#alive(this.#condition()));
    this.#sendMarket(viewer);
  }

  /** Closes all connections, so that browsers connect elsewhere. */
  dismiss() {
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#flushTimer);
    for (const { socket } of this.#viewers) socket.close(GOING_AWAY, "this live view stops");
  }

  /** Cuts the connections that are still open. */
  cutOff() {
    for (const { socket } of this.#viewers) socket.terminate();
  }

  #isNews() {
    this.#picture = undefined;
    if (this.#flushTimer) return;
    const wait = Math.max(0, this.#lastFlush + MERGE_MS - performance.now());
    this.#flushTimer = setTimeout(() => this.#flush(), wait);
  }

  #flush() {
    this.#flushTimer = undefined;
    this.#lastFlush = performance.now();
    const updates = this.#isReloaded ? undefined : this.#updates();
    const companies = new Set([...this.#changed, ...this.#pending.map(({ company }) => company)]);
    this.#pending = [];
    this.#changed.clear();
    this.#isReloaded = false;
    const prices = computedOnce(() => this.#prices());
    for (const viewer of this.#viewers) {
      if (viewer.kind === "other version") continue;
      if (!updates) this.#sendMarket(viewer);
      else if (this.#isBehind(viewer)) this.#leaveOut(viewer, companies, this.#lastFlush);
      else if (viewer.kind === "plain") this.#send(viewer, prices());
      else for (const update of updates) this.#send(viewer, update);
    }
  }

  /** The messages about what changed since the last ones. */
  #updates() {
    // An average of a company whose past changed, too, is in `changed`.
    const averages = this.#pending.filter(({ company }) => !this.#changed.has(company));
    const updates = averages.length > 0 ? [encode({ type: "averages", averages })] : [];
    const names = [...this.#changed];
    for (let first = 0; first < names.length; first += PART_COMPANIES) {
      updates.push(this.#changes(names.slice(first, first + PART_COMPANIES)));
    }
    return updates;
  }

  /** The newest of companies whose past changed, or was missed. @param {string[]} names */
  #changes(names) {
    const companies = names.map((company) => ({ company, newest: this.#market.newestOf(company) ?? null }));
    return encode({ type: "changed", companies });
  }

  /** Sends the whole market. Before it was read once, there is nothing to send. @param {Viewer} viewer */
  #sendMarket(viewer) {
    viewer.missed.clear();
    if (!this.#market.isLoaded || viewer.kind === "other version") return;
    if (viewer.kind === "plain") {
      this.#send(viewer, this.#prices());
      return;
    }
    const isSending = viewer.nextPart < Number.POSITIVE_INFINITY;
    this.#picture ??= { names: [...this.#market.companies()], parts: new Map() };
    viewer.picture = this.#picture;
    viewer.nextPart = 0;
    if (!isSending) this.#sendPart(viewer);
  }

  /**
   * Sends the next part of the market, and the others as soon as the one before is on its way: so a slow link holds one
   * part, and news in between. Each part holds what is newest when it is sent, so it never takes back news.
   * @param {Viewer} viewer
   */
  #sendPart(viewer) {
    const { picture, nextPart: part } = viewer;
    const parts = 1 + Math.max(Math.ceil((picture.names.length - FIRST_PART_COMPANIES) / PART_COMPANIES), 0);
    viewer.nextPart = part + 1 < parts ? part + 1 : Number.POSITIVE_INFINITY;
    // News clear the picture, and what was encoded of it.
    const encoded = picture === this.#picture ? picture.parts : new Map();
    if (!encoded.has(part)) encoded.set(part, this.#part(picture.names, part, parts));
    this.#send(viewer, encoded.get(part), () => {
      if (viewer.nextPart < Number.POSITIVE_INFINITY) this.#sendPart(viewer);
    });
  }

  /** @param {readonly string[]} names @param {number} part @param {number} parts */
  #part(names, part, parts) {
    const first = part === 0 ? 0 : FIRST_PART_COMPANIES + (part - 1) * PART_COMPANIES;
    const count = part === 0 ? FIRST_PART_COMPANIES : PART_COMPANIES;
    const companies = names.slice(first, first + count).flatMap((name) => this.#market.newestOf(name) ?? []);
    return encode({ type: "market", part, parts, companies });
  }

  /** Whether it has too much to read already, or still misses something. @param {Viewer} viewer */
  #isBehind({ socket, missed }) {
    return socket.bufferedAmount > MAX_UNREAD_BYTES || missed.size > 0;
  }

  /** @param {Viewer} viewer @param {Set<string>} companies  with news that it does not get yet @param {number} now */
  #leaveOut(viewer, companies, now) {
    this.counts.leftOut += 1;
    for (const company of companies) viewer.missed.add(company);
    this.#lookAfter(viewer, now);
  }

  /** Tells a browser that reads again some of what it missed. @param {Viewer} viewer */
  #catchUp(viewer) {
    const names = [...viewer.missed].slice(0, PART_COMPANIES);
    if (viewer.kind === "plain") {
      viewer.missed.clear();
      this.#send(viewer, this.#prices());
      return;
    }
    for (const name of names) viewer.missed.delete(name);
    this.#send(viewer, this.#changes(names));
  }

  /** Tells how current the prices are, at once when that changes. Looks after browsers that are behind or better off elsewhere. */
  #look() {
    const now = performance.now();
    const condition = this.#condition();
    if (condition.isCurrent) this.#currentAt = now;
    const isDue = condition.isCurrent !== this.#wasCurrent || now - this.#lastAlive > ALIVE_MS - LOOK_MS / 2;
    this.#wasCurrent = condition.isCurrent;
    if (isDue) {
      this.#lastAlive = now;
      const alive = this.#alive(condition);
      for (const viewer of this.#viewers) this.#tellAlive(viewer, alive);
    }
    for (const viewer of this.#viewers) this.#lookAfter(viewer, now);
    if (!condition.isCurrent) this.#sendElsewhere(now);
  }

  /** @param {Viewer} viewer @param {number} now */
  #lookAfter(viewer, now) {
    const { bufferedAmount } = viewer.socket;
    if (bufferedAmount <= MAX_UNREAD_BYTES) {
      viewer.behindSince = Number.POSITIVE_INFINITY;
      if (viewer.missed.size > 0 && bufferedAmount === 0) this.#catchUp(viewer);
      return;
    }
    viewer.behindSince = Math.min(viewer.behindSince, now);
    if (now - viewer.behindSince > MAX_BEHIND_MS) {
      this.counts.letGo += 1;
      viewer.socket.terminate();
    }
  }

  /** @param {Viewer} viewer @param {Buffer} alive */
  #tellAlive(viewer, alive) {
    if (viewer.socket.bufferedAmount > MAX_UNREAD_BYTES) return;
    // The original page does not know `alive`; a ping keeps its connection alive.
    if (viewer.kind === "plain") viewer.socket.ping();
    else this.#send(viewer, alive);
  }

  /** Without current prices for some seconds, another live view may have them. @param {number} now */
  #sendElsewhere(now) {
    for (const viewer of this.#viewers) {
      const since = Math.max(this.#currentAt, viewer.since);
      if (now - since < (viewer.takesOld ? STALE_AWAY_MS : AWAY_MS)) continue;
      if (viewer.socket.readyState !== WebSocket.OPEN) continue;
      this.counts.sentElsewhere += 1;
      viewer.socket.close(TRY_AGAIN_LATER, "this live view has no current prices");
    }
  }

  #pingAll() {
    for (const viewer of this.#viewers) {
      const unread = viewer.socket.bufferedAmount;
      const isReading = unread < viewer.unread;
      if (!viewer.hasAnswered && !isReading) {
        this.counts.unanswered += 1;
        viewer.socket.terminate();
        continue;
      }
      viewer.unread = unread;
      viewer.hasAnswered = false;
      viewer.socket.ping();
    }
  }

  /** @param {Condition} condition */
  #alive(condition) {
    return encode({ type: "alive", now: Date.now(), ...condition });
  }

  #prices() {
    return encode({ type: "prices", prices: this.#market.newest() });
  }

  /** @param {Viewer} viewer @param {Buffer} message @param {() => void} [onSent]  once it is on its way */
  #send({ socket }, message, onSent) {
    if (socket.readyState !== WebSocket.OPEN) return;
    this.counts.messages += 1;
    socket.send(message, { binary: false }, (error) => {
      if (!error) onSent?.();
    });
  }
}

/** @param {string} protocol @returns {Viewer["kind"]} */
function kindOf(protocol) {
  if (protocol === SUBPROTOCOL) return "page";
  return protocol === "" ? "plain" : "other version";
}

/** Encodes a message once for all browsers. @param {object} message */
function encode(message) {
  return Buffer.from(JSON.stringify(message));
}

/** Computes a value when it is first asked for. @template T @param {() => T} compute @returns {() => T} */
function computedOnce(compute) {
  /** @type {T | undefined} */
  let value;
  return () => (value ??= compute());
}
