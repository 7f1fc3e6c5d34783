/**
 * Who may open a WebSocket. A page cannot read why its WebSocket was refused, so it asks `/admission` for the same answer.
 */

/** A refused origin is logged once, and at most one in this time. */
const LOG_INTERVAL_MS = 10_000;
/** Refused origins that are remembered as logged. */
const MAX_LOGGED = 100;
/** Anyone can send an origin of any length. */
const MAX_SHOWN = 200;

/** What the feed's states mean when the data is not current. @type {Readonly<Record<string, string>>} */
const STATES = {
  connecting: "it is still connecting to its database",
  unreachable: "its database does not answer",
  "change stream": "it is behind its database",
  polling: "it is behind its database",
};

/**
 * @typedef {object} Verdict
 * @property {101 | 403 | 503} status  of the answer to the upgrade
 * @property {string} reason
 * @property {boolean} isStale         whether it is welcome only because it takes old prices
 */

/**
 * @typedef {object} Candidate
 * @property {string | undefined} origin  of the page; undefined if it is no browser
 * @property {readonly string[]} hosts    the hosts by which it may have asked
 * @property {boolean} [takesStale]       whether it takes prices that are not current
 */

/**
 * @typedef {object} Situation
 * @property {boolean} isStopping
 * @property {boolean} isCurrent
 * @property {string} state  of the feed
 * @property {number} open   WebSockets open now
 */

export class Admission {
  #allowedOrigins;
  #maxConnections;
  #look;

  /**
   * @param {Pick<import("./config.js").Config, "allowedOrigins" | "maxConnections">} config
   * @param {() => Situation} look  what the live view's situation is now
   */
  constructor({ allowedOrigins, maxConnections }, look) {
    this.#allowedOrigins = allowedOrigins;
    this.#maxConnections = maxConnections;
    this.#look = look;
  }

  /** @param {Candidate} candidate @returns {Verdict} */
  judge({ origin, hosts, takesStale = false }) {
    // Browsers always send an origin; other clients need not.
    if (origin !== undefined && !this.#allowsOrigin(origin, hosts)) {
      return refusal(
        403,
        `pages of ${shown(origin)} are not allowed: add this origin to ALLOWED_ORIGINS of the live view`,
      );
    }
    const { isStopping, isCurrent, state, open } = this.#look();
    if (isStopping) return refusal(503, "this live view is stopping");
    if (open >= this.#maxConnections) {
      return refusal(503, `this live view has its maximum of viewers: MAX_CONNECTIONS is ${this.#maxConnections}`);
    }
    if (!isCurrent && !takesStale) {
      return refusal(503, `this live view is not current: ${STATES[state] ?? state}`);
    }
    return { status: 101, reason: "welcome", isStale: !isCurrent };
  }

  /** @param {string} origin @param {readonly string[]} hosts */
  #allowsOrigin(origin, hosts) {
    if (this.#allowedOrigins.includes("*") || this.#allowedOrigins.includes(origin)) return true;
    if (!URL.canParse(origin)) return false;
    const { protocol, host } = new URL(origin);
    // The parser drops the scheme's default port, on both sides.
    return hosts.some((own) => URL.canParse(`${protocol}//${own}`) && host === new URL(`${protocol}//${own}`).host);
  }
}

/** Logs refused origins, without letting strangers fill the log. */
export class RefusedOrigins {
  #log;
  /** @type {Set<string>} */
  #logged = new Set();
  #lastLogged = Number.NEGATIVE_INFINITY;

  /** @param {import("./log.js").Log} log */
  constructor(log) {
    this.#log = log;
  }

  /** @param {string} origin @param {string} client  its address */
  add(origin, client) {
    const now = performance.now();
    if (this.#logged.has(shown(origin)) || now - this.#lastLogged < LOG_INTERVAL_MS) return;
    if (this.#logged.size >= MAX_LOGGED) this.#logged.clear();
    this.#logged.add(shown(origin));
    this.#lastLogged = now;
    this.#log.warn("refused a page of another origin: to allow it, add the origin to ALLOWED_ORIGINS", {
      origin: shown(origin),
      client,
    });
  }
}

/** @param {403 | 503} status @param {string} reason @returns {Verdict} */
function refusal(status, reason) {
  return { status, reason, isStale: false };
}

/** @param {string} origin */
function shown(origin) {
  return origin.length > MAX_SHOWN ? `${origin.slice(0, MAX_SHOWN)}…` : origin;
}
