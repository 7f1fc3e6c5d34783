/**
 * The WebSocket to a live view. It reconnects for ever.
 */
import { SUBPROTOCOL } from "./contract.js";

/** A live view is never silent for a second. After this silence it counts as lost. */
const SILENCE_MS = 3000;
/** Time limit of an attempt to connect. */
const CONNECT_MS = 5000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

const UNAVAILABLE = 503;

export class Connection {
  #onMessage;
  #onChange;
  /** @type {WebSocket | undefined} */
  #socket;
  #isOpen = false;
  #retryMs = FIRST_RETRY_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  #lastHeard = 0;
  /** Whether old prices would do, because no live view has current ones. */
  #takesOld = false;

  /**
   * @param {(message: any) => boolean} onMessage  returns whether the page has all it needs now
   * @param {(isOpen: boolean, refusal: string) => void} onChange  `refusal`: why a live view refuses the page; or empty
   */
  constructor(onMessage, onChange) {
    this.#onMessage = onMessage;
    this.#onChange = onChange;
    setInterval(() => this.#checkSilence(), 500);
    addEventListener("online", () => this.#retryNow());
    // After sleep, or from the back-forward cache.
    addEventListener("pageshow", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => this.#retryNow());
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.#lastHeard = performance.now();
    const socket = new WebSocket(address(this.#takesOld), SUBPROTOCOL);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#lastHeard = performance.now();
      if (!this.#isOpen) {
        this.#isOpen = true;
        this.#takesOld = false;
        this.#onChange(true, "");
      }
      // Not sooner: on a link that breaks before anything useful has arrived, attempts become rare.
      if (this.#onMessage(JSON.parse(data))) this.#retryMs = FIRST_RETRY_MS;
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket) this.#lost();
    });
  }

  #lost() {
    // Do not wait for the close event: a frozen live view never answers.
    this.#socket?.close();
    this.#socket = undefined;
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#onChange(false, "");
    } else {
      void this.#askWhy();
    }
    // Random, so that the browsers of a lost live view do not all reconnect at once.
    this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs * (0.5 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  /** A browser does not tell a page why its WebSocket was refused. */
  async #askWhy() {
    try {
      const query = new URLSearchParams({ origin: location.origin });
      const response = await fetch(`admission?${query}`, { signal: AbortSignal.timeout(CONNECT_MS) });
      const { status, reason } = await response.json();
      if (this.#isOpen) return;
      this.#takesOld = status === UNAVAILABLE;
      this.#onChange(false, status === 101 ? "" : reason);
    } catch {
      // No live view answers: "Reconnecting" says it all.
    }
  }

  /** Connects anew, to be told everything again. */
  reconnect() {
    if (this.#socket) this.#lost();
  }

  #checkSilence() {
    const limit = this.#isOpen ? SILENCE_MS : CONNECT_MS;
    if (this.#socket && performance.now() - this.#lastHeard > limit) this.#lost();
  }

  #retryNow() {
    if (this.#retryTimer && document.visibilityState === "visible") this.#connect();
  }
}

/** Of the live view that served the page, which may be below a path of another server. @param {boolean} takesOld */
function address(takesOld) {
  const url = new URL(takesOld ? "./?stale" : "./", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url;
}
