// A proxy before the broker that notes when the last trade of each window passes, and the window's average.
// So it is our publisher, as it is, whose trades are timed. It reads no more than the frames' heads, the
// company and the price.
import { connect, createServer } from "node:net";
import { once } from "node:events";

const BODY = 3;
const FRAME_END = 0xce;

export class WatchedBroker {
  #server;
  #sockets = new Set();
  #companies = new Map();
  #window;

  constructor(url, window) {
    this.#window = window;
    const { hostname, port } = new URL(url);
    this.#server = createServer((client) => {
      const broker = connect(Number(port), hostname);
      const watch = this.#reader();
      client.setNoDelay(true);
      broker.setNoDelay(true);
      client.on("data", watch);
      client.pipe(broker).pipe(client);
      for (const socket of [client, broker]) {
        this.#sockets.add(socket);
        // The other side is told by pipe, or at the end of the measurement.
        socket.on("error", () => socket.destroy());
        socket.on("close", () => this.#sockets.delete(socket));
      }
    });
  }

  static async before(url, window) {
    const broker = new WatchedBroker(url, window);
    broker.#server.listen(0, "127.0.0.1");
    await once(broker.#server, "listening");
    const through = new URL(url);
    through.host = `127.0.0.1:${broker.#server.address().port}`;
    broker.url = through.href;
    return broker;
  }

  /** Reads what one connection sends, in whatever pieces it comes. */
  #reader() {
    let rest = Buffer.alloc(0);
    let isOpen = false;
    return (piece) => {
      const now = performance.now();
      let at = 0;
      rest = rest.length > 0 ? Buffer.concat([rest, piece]) : piece;
      if (!isOpen && rest.length >= 8) {
        isOpen = true;
        at = 8; // "AMQP" and the version
      }
      while (isOpen && rest.length - at >= 8) {
        const size = rest.readUInt32BE(at + 3);
        if (rest.length - at < size + 8) break;
        if (rest[at] === BODY && rest[at + 7 + size] === FRAME_END) {
          this.#onTrade(rest.toString("latin1", at + 7, at + 7 + size), now);
        }
        at += size + 8;
      }
      rest = rest.subarray(at);
    };
  }

  #onTrade(text, now) {
    const { company, price } = JSON.parse(text);
    let state = this.#companies.get(company);
    if (!state) {
      state = { count: 0, sum: 0, firstDue: Infinity, windows: [], sent: [] };
      this.#companies.set(company, state);
    }
    state.count += 1;
    state.sum += price;
    state.sent.push(now);
    if (state.count % this.#window !== 0) return;
    state.windows.push({ company, number: state.windows.length, sentAt: now, average: state.sum / this.#window });
    state.sum = 0;
  }

  /** All windows that have passed so far. */
  windows() {
    return [...this.#companies.values()].flatMap(({ windows }) => windows);
  }

  /**
   * When the last trade of a window was due: trades are due at equal distances and never sent before, so the one
   * that was sent with the least delay shows when all were.
   */
  dueAt(company, number, intervalMs) {
    const state = this.#companies.get(company);
    if (state.firstDue === Infinity) {
      state.sent.forEach((at, index) => {
        state.firstDue = Math.min(state.firstDue, at - index * intervalMs);
      });
    }
    return state.firstDue + ((number + 1) * this.#window - 1) * intervalMs;
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
