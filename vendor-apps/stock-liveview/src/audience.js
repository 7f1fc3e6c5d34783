/**
 * The audience: all connected browsers, and the messages they get. A message is encoded once for all of them. A browser
 * that cannot keep up is skipped, and gets the whole state once it has caught up.
 *
 * Clients with the subprotocol `stockmarket.live.1` get the messages that README.md describes. All others get only
 * `prices`, as from the original live view.
 */
import { WebSocket } from "ws";
import { SUBPROTOCOL } from "../page/contract.js";
import { columns } from "./average.js";

/** @typedef {import("./market.js").Market} Market */
/** @typedef {import("./average.js").Average} Average */

/** Updates within this time are merged into one message. */
const MERGE_MS = 100;
/** After this time without a message, browsers get an `alive` message. */
const SILENCE_MS = 500;
/** A browser that has not answered the previous ping by the next one is disconnected. */
const PING_MS = 10_000;
/** Chart points in one message, shared by all companies. */
const MAX_POINTS = 30_000;
/** A browser with more unread bytes than this is skipped until it has read them. */
const MAX_UNREAD_BYTES = 256 * 1024;
/** A browser that is behind for longer than this is disconnected. */
const MAX_BEHIND_MS = 20_000;

const GOING_AWAY = 1001;
const UNWANTED_MESSAGE = 1008;

/**
 * @typedef {object} Viewer
 * @property {WebSocket} socket
 * @property {boolean} isPlain          gets only `prices`
 * @property {boolean} hasAnswered      whether it has answered the last ping
 * @property {boolean} needsEverything  whether it missed something and must get the whole state
 * @property {number} behindSince       when it first missed an update; Infinity while it keeps up
 */

export class Audience {
  #market;
  #describe;
  /** @type {Set<Viewer>} */
  #viewers = new Set();
  /** Averages not sent yet. @type {Average[]} */
  #pending = [];
  #isEverythingPending = false;
  /** The encoded whole state, until something changes. @type {Buffer | undefined} */
  #everything;
  #lastSent = Number.NEGATIVE_INFINITY;
  /** @type {NodeJS.Timeout | undefined} */
  #flushTimer;
  /** @type {NodeJS.Timeout[]} */
  #timers;

  /** Counters for the metrics. */
  counts = { messages: 0, leftOut: 0, letGo: 0, unanswered: 0, abusive: 0 };

  /**
   * @param {Market} market
   * @param {() => object} describe  further fields of `alive` messages
   */
  constructor(market, describe) {
    this.#market = market;
    this.#describe = describe;
    market.on("average", (average) => {
      this.#pending.push(average);
      this.#changed();
    });
    const replaced = () => {
      this.#isEverythingPending = true;
      this.#changed();
    };
    market.on("changed", replaced);
    market.on("reloaded", replaced);
    this.#timers = [
      setInterval(() => this.#breakSilence(), SILENCE_MS / 2),
      setInterval(() => this.#pingAll(), PING_MS),
    ];
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

  /** Adds a browser and sends it the whole state. @param {WebSocket} socket */
  welcome(socket) {
    /** @type {Viewer} */
    const viewer = {
      socket,
      isPlain: socket.protocol !== SUBPROTOCOL,
      hasAnswered: true,
      needsEverything: true,
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
    if (!viewer.isPlain) this.#send(viewer, this.#alive());
    // When an update is due, the browser gets everything with it. Sent now, it would get some of it twice.
    if (!this.#flushTimer) this.#bringUpToDate(viewer);
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

  #changed() {
    this.#everything = undefined;
    if (this.#flushTimer) return;
    const wait = Math.max(0, this.#lastSent + MERGE_MS - performance.now());
    this.#flushTimer = setTimeout(() => this.#flush(), wait);
  }

  #flush() {
    this.#flushTimer = undefined;
    this.#lastSent = performance.now();
    const update = this.#isEverythingPending ? undefined : encode({ type: "averages", averages: this.#pending });
    this.#pending = [];
    this.#isEverythingPending = false;
    const prices = this.#prices();
    for (const viewer of this.#viewers) {
      if (viewer.socket.bufferedAmount > MAX_UNREAD_BYTES) this.#leaveOut(viewer, this.#lastSent);
      else if (viewer.needsEverything || update === undefined) this.#bringUpToDate(viewer);
      else this.#send(viewer, viewer.isPlain ? prices : update);
    }
  }

  /** @param {Viewer} viewer */
  #bringUpToDate(viewer) {
    viewer.needsEverything = false;
    viewer.behindSince = Number.POSITIVE_INFINITY;
    this.#everything ??= this.#history();
    this.#send(viewer, viewer.isPlain ? this.#prices() : this.#everything);
  }

  /** @param {Viewer} viewer @param {number} now */
  #leaveOut(viewer, now) {
    this.counts.leftOut += 1;
    viewer.needsEverything = true;
    viewer.behindSince = Math.min(viewer.behindSince, now);
    if (now - viewer.behindSince > MAX_BEHIND_MS) {
      this.counts.letGo += 1;
      viewer.socket.terminate();
    }
  }

  /** Sends a sign of life when there is no news, so that browsers notice a frozen live view. */
  #breakSilence() {
    const now = performance.now();
    if (now - this.#lastSent < SILENCE_MS) return;
    this.#lastSent = now;
    const alive = this.#alive();
    for (const viewer of this.#viewers) {
      if (viewer.socket.bufferedAmount > MAX_UNREAD_BYTES) this.#leaveOut(viewer, now);
      // It reads again. The next update may be far away, unless one is due already.
      else if (viewer.needsEverything && !this.#flushTimer) this.#bringUpToDate(viewer);
      // The original page does not know `alive`; a ping keeps its connection alive.
      else if (viewer.isPlain) viewer.socket.ping();
      else this.#send(viewer, alive);
    }
  }

  #pingAll() {
    for (const viewer of this.#viewers) {
      if (!viewer.hasAnswered) {
        this.counts.unanswered += 1;
        viewer.socket.terminate();
        continue;
      }
      viewer.hasAnswered = false;
      viewer.socket.ping();
    }
  }

  #alive() {
    return encode({ type: "alive", now: Date.now(), ...this.#describe() });
  }

  #prices() {
    return encode({ type: "prices", prices: this.#market.newest() });
  }

  #history() {
    const companies = this.#market.companies();
    const limit = Math.ceil(MAX_POINTS / Math.max(companies.length, 1));
    return encode({
      type: "history",
      companies: companies.map((company) => {
        const recent = this.#market.recent(company).slice(-limit);
        return { company, newest: recent.at(-1), ...columns(recent) };
      }),
    });
  }

  /** @param {Viewer} viewer @param {Buffer} message */
  #send({ socket }, message) {
    if (socket.readyState !== WebSocket.OPEN) return;
    this.counts.messages += 1;
    socket.send(message, { binary: false });
  }
}

/** Encodes a message once for all browsers. @param {object} message */
function encode(message) {
  return Buffer.from(JSON.stringify(message));
}
