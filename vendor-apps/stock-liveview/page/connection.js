/**
 * The WebSocket to a live view. It reconnects for ever.
 */
import { SUBPROTOCOL } from "./contract.js";

/** A live view is never silent for a second. After this silence it counts as lost. */
const SILENCE_MS = 3000;
/** Time limit of an attempt to connect. */
const CONNECT_MS = 5000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;

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

  /**
   * @param {(message: any) => void} onMessage
   * @param {(isOpen: boolean) => void} onChange
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
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`, SUBPROTOCOL);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#lastHeard = performance.now();
      this.#retryMs = FIRST_RETRY_MS;
      if (!this.#isOpen) {
        this.#isOpen = true;
        this.#onChange(true);
      }
      this.#onMessage(JSON.parse(data));
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
      this.#onChange(false);
    }
    // Random, so that the browsers of a lost live view do not all reconnect at once.
    this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs * (0.5 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #checkSilence() {
    const limit = this.#isOpen ? SILENCE_MS : CONNECT_MS;
    if (this.#socket && performance.now() - this.#lastHeard > limit) this.#lost();
  }

  #retryNow() {
    if (this.#retryTimer && document.visibilityState === "visible") this.#connect();
  }
}
