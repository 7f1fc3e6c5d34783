// The database that the measured programs write to.
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "./programs.mjs";

const require = createRequire(join(root, "vendor-apps/stock-liveview/package.json"));
const { MongoClient } = require("mongodb");

export class Averages {
  #client;
  #stream;
  #told;

  /** @param {string} name  of the database */
  constructor(name) {
    this.name = name;
    this.#client = new MongoClient(process.env.TEST_MONGODB_URL);
    this.db = this.#client.db(name);
    this.collection = this.db.collection("stocks");
  }

  /**
   * Calls back with each window that a majority has, and when it came, in ms.
   * @param {(document: any, at: number) => void} onWindow
   * @param {object} [filter]  of change events
   */
  async watch(onWindow, filter = {}) {
    const pipeline = [
      { $match: { operationType: "insert", ...filter } },
      { $project: { "fullDocument.company": 1, "fullDocument.window": 1, "fullDocument.avgPrice": 1 } },
    ];
    this.#stream = this.collection.watch(pipeline);
    const tell = ({ fullDocument }) => onWindow(fullDocument, performance.now());
    // Asked once, so that the server has opened it before anything is stored.
    const first = await this.#stream.tryNext();
    if (first) tell(first);
    this.#told = this.#follow(tell);
  }

  async #follow(tell) {
    try {
      for await (const event of this.#stream) tell(event);
    } catch (error) {
      if (!this.#stream.closed) throw error;
    }
  }

  async close({ drop = true } = {}) {
    await this.#stream?.close();
    await this.#told;
    if (drop) await this.db.dropDatabase();
    await this.#client.close();
  }
}
