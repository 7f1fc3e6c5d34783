/**
 * Reads the newest averages, on a replica set as they are at one cluster time. So the changes that follow are those
 * after that time: none is lost, and none is seen twice.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { MongoError } from "mongodb";
import { isName, PROJECTION, parseAverage } from "./average.js";
import { clusterTime } from "./lag.js";

/** @typedef {import("mongodb").Collection} Collection */
/** @typedef {import("mongodb").Document} Document */
/** @typedef {import("mongodb").Timestamp} Timestamp */
/** @typedef {import("./average.js").Stored} Stored */
/** @typedef {{found: Stored[], isWhole: boolean}} Found */

/** Time limit of a query. With its index, a query takes far less. */
const QUERY_MS = 4000;
const RETRY_MS = 50;
/** How long a member may take to reach what another one has shown. */
const BEHIND_MS = 30_000;

const NAMESPACE_NOT_FOUND = 26;
const SNAPSHOT_TOO_OLD = 239;
const SNAPSHOT_UNAVAILABLE = 246;
/** All companies' names do not fit into one answer. */
const DISTINCT_TOO_BIG = 17217;

/** The database does not have what it has shown: it is another one, or was set back. */
export class BehindError extends Error {
  constructor() {
    super("the database is older than what it has shown");
    this.name = "BehindError";
  }
}

export class Reader {
  #collection;
  #readConcern;

  /** @param {Collection} collection @param {Timestamp} [time]  default: whatever each query finds */
  constructor(collection, time) {
    this.#collection = collection;
    this.#readConcern = time && { level: "snapshot", atClusterTime: time };
  }

  /**
   * A reader at a cluster time that a majority of the members has reached.
   * @param {Collection} collection
   * @param {bigint} after  the earliest cluster time to read at: what was seen up to then must not be unseen
   * @param {AbortSignal} signal
   * @throws when no member gets there
   */
  static async atClusterTime(collection, after, signal) {
    for (const began = performance.now(); ;) {
      const answer = await command(collection, {
        find: collection.collectionName,
        limit: 1,
        singleBatch: true,
        projection: { _id: 1 },
        readConcern: { level: "majority" },
      });
      /** @type {Timestamp} */
      const time = answer.operationTime;
      if (clusterTime(time) >= after) return { time, reader: new Reader(collection, time) };
      if (performance.now() - began > BEHIND_MS) throw new BehindError();
      await sleep(RETRY_MS, undefined, { signal });
    }
  }

  /** Whether the index is there that makes a company's newest averages cheap to read. */
  async isIndexed() {
    const indexes = await this.#collection.indexes().catch((error) => {
      if (error instanceof MongoError && error.code === NAMESPACE_NOT_FOUND) return undefined;
      throw error;
    });
    // A collection that does not exist yet needs no index.
    if (!indexes) return true;
    return indexes.some(({ key }) => Object.keys(key)[0] === "company" && Object.keys(key)[1] === "_id");
  }

  /** The names of all companies, in no order. */
  async names() {
    const { collectionName } = this.#collection;
    try {
      const { values } = await this.#command({ distinct: collectionName, key: "company" });
      return /** @type {unknown[]} */ (values).filter(isName);
    } catch (error) {
      if (!(error instanceof MongoError && error.code === DISTINCT_TOO_BIG)) throw error;
    }
    /** @type {string[]} */
    const names = [];
    const pipeline = [{ $match: { company: { $gte: "" } } }, { $group: { _id: "$company" } }];
    for await (const { _id } of this.#cursor({ aggregate: collectionName, pipeline, cursor: {} })) {
      if (isName(_id)) names.push(_id);
    }
    return names;
  }

  /** @param {string} company @param {number} limit */
  newestOf(company, limit) {
    return this.#find({ company }, limit);
  }

  /** The newest of all companies together. @param {number} limit */
  newest(limit) {
    return this.#find({}, limit);
  }

  /** @param {Document} filter @param {number} limit @returns {Promise<Found>} oldest first */
  async #find(filter, limit) {
    const cursor = this.#cursor({
      find: this.#collection.collectionName,
      filter,
      sort: { _id: -1 },
      limit,
      batchSize: limit,
      projection: PROJECTION,
    });
    /** @type {Stored[]} */
    const found = [];
    let documents = 0;
    const now = Date.now();
    while (await cursor.hasNext()) {
      // Parsed batch by batch, so that an `_id` of megabytes is soon forgotten.
      for (const document of cursor.readBufferedDocuments()) {
        documents += 1;
        const stored = parseAverage(document, now);
        if (stored) found.push(stored);
      }
    }
    return { found: found.reverse(), isWhole: documents < limit };
  }

  /** @param {Document} query */
  #command(query) {
    return command(this.#collection, this.#readConcern ? { ...query, readConcern: this.#readConcern } : query);
  }

  /** @param {Document} query */
  #cursor(query) {
    const { db, readPreference } = this.#collection;
    const limited = { ...query, maxTimeMS: QUERY_MS, ...(this.#readConcern && { readConcern: this.#readConcern }) };
    return db.runCursorCommand(limited, { readPreference, promoteLongs: false });
  }
}

/** What one query of the newest documents found, by company. It stands in for a reader where the index is missing. */
export class LookBack {
  /** @type {Map<string, Found>} */
  #companies = new Map();

  /** Whether there are no other documents. */
  isWhole;

  /** @param {Found} everything */
  constructor({ found, isWhole }) {
    this.isWhole = isWhole;
    for (const stored of found) {
      const { company } = stored.average;
      const own = this.#companies.get(company) ?? { found: [], isWhole };
      own.found.push(stored);
      this.#companies.set(company, own);
    }
  }

  names() {
    return [...this.#companies.keys()];
  }

  /** @param {string} company @returns {Found} */
  newestOf(company) {
    return this.#companies.get(company) ?? { found: [], isWhole: true };
  }
}

/** Whether a read failed because its time is no longer, or not yet, in the database's memory. @param {unknown} error */
export function isTimeGone(error) {
  return error instanceof MongoError && (error.code === SNAPSHOT_TOO_OLD || error.code === SNAPSHOT_UNAVAILABLE);
}

/** @param {Collection} collection @param {Document} query */
function command({ db, readPreference }, query) {
  return db.command({ ...query, maxTimeMS: QUERY_MS }, { readPreference });
}
