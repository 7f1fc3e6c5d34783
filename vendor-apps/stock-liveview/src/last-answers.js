/**
 * Connections that got their last answer, or are about to. Each is closed soon, whether or not the client reads the
 * answer or closes its own side.
 */

/** @typedef {import("node:stream").Duplex} Duplex */

/** Time for a client to read its answer. Then the connection is destroyed. */
const LINGER_MS = 1000;
/** So many may linger. One more destroys the oldest. */
const MAX_OPEN = 64;

export class LastAnswers {
  /** Each with the timer that destroys it. @type {Map<Duplex, NodeJS.Timeout>} */
  #open = new Map();

  /** Sends an answer, then closes. @param {Duplex} socket @param {string} answer */
  send(socket, answer) {
    if (this.#open.has(socket)) return;
    this.close(socket);
    socket.end(answer);
  }

  /** Closes a connection whose answer is on its way. @param {Duplex} socket @param {number} [limitMs] */
  close(socket, limitMs = LINGER_MS) {
    if (this.#open.has(socket)) {
      clearTimeout(this.#open.get(socket));
    } else {
      const [oldest] = this.#open.keys();
      if (this.#open.size >= MAX_OPEN) oldest.destroy();
      socket.on("error", () => {});
      socket.on("close", () => {
        clearTimeout(this.#open.get(socket));
        this.#open.delete(socket);
      });
      // Bytes that nobody reads would reset the connection, and the client would lose the answer.
      socket.resume();
    }
    this.#open.set(
      socket,
      setTimeout(() => socket.destroy(), limitMs),
    );
  }

  /** Destroys those that are left. */
  cutOff() {
    for (const socket of this.#open.keys()) socket.destroy();
  }
}
