/**
 * The feed: brings every average from the database into the market, in the order and exactly as often as it was
 * stored, through whatever happens to the database.
 *
 * A replica set offers a change stream: one snapshot at a known time of the cluster, then every change since that
 * time, resumed by its token after a failover. A single MongoDB offers none: there the newest averages are asked for
 * twice a second, by index.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { MongoError } from "mongodb";
import { idText, PROJECTION } from "./average.js";
import { reason } from "./log.js";
import { RECENT_AVERAGES } from "../page/contract.js";

/** @typedef {import("mongodb").Collection} Collection */
/** @typedef {import("./market.js").Market} Market */
/** @typedef {import("./log.js").Log} Log */
/** @typedef {"connecting" | "change stream" | "polling" | "unreachable"} FeedState */

/** How long the database may hold back an answer when there is no news: also how often we know that it lives. */
const AWAIT_MS = 500;
const POLL_INTERVAL_MS = 500;
/** A query that takes longer is given up: it would only be so slow without its index. */
const QUERY_MS = 4000;
/** Without an answer for so long, what we show may be old. */
const CURRENT_MS = 5000;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2000;
/** Averages looked through at start where no index leads to each company's newest. */
const UNINDEXED_LOOK_BACK = 5000;

/** Server errors after which a change stream cannot go on from where it was. */
const NOT_RESUMABLE = new Set([
  136, // CappedPositionLost
  222, // CloseChangeStream
  237, // CursorKilled
  260, // InvalidResumeToken
  280, // ChangeStreamFatalError
  286, // ChangeStreamHistoryLost
]);

/** Only what is shown leaves the database: the lists of counted trades stay there. */
const PIPELINE = [
  { $match: { operationType: { $in: ["insert", "replace", "update", "delete", "invalidate"] } } },
  { $unset: ["fullDocument.trades", "fullDocument.ledger", "updateDescription"] },
];

export class Feed {
  #collection;
  #market;
  #log;
  /** @type {FeedState} */
  #state = "connecting";
  #lastAnswer = Number.NEGATIVE_INFINITY;
  /** Where the change stream goes on. @type {import("mongodb").ResumeToken | undefined} */
  #token;
  #warnedOfIndex = false;

  /** How often each thing happened; the metrics read it. */
  counts = { resumed: 0, reloaded: 0, failed: 0 };

  /** @param {Collection} collection @param {Market} market @param {Log} log */
  constructor(collection, market, log) {
    this.#collection = collection;
    this.#market = market;
    this.#log = log;
  }

  /** @returns {FeedState} */
  get state() {
    return this.#state;
  }

  /** Whether what the market holds is what the database holds, give or take a moment. */
  get isCurrent() {
    const isFollowing = this.#state === "change stream" || this.#state === "polling";
    return isFollowing && performance.now() - this.#lastAnswer < CURRENT_MS;
  }

  /** Follows the database until `signal` is aborted; only then it returns. @param {AbortSignal} signal */
  async run(signal) {
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        if (await this.#isReplicated()) await this.#stream(signal);
        else await this.#poll(signal);
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        if (this.#token && isLost(error)) {
          this.#log.warn("the change stream's place is lost: reading everything again", { reason: reason(error) });
          this.#token = undefined;
        }
        this.counts.failed += 1;
        if (performance.now() - this.#lastAnswer < CURRENT_MS) retryMs = FIRST_RETRY_MS;
        this.#become("unreachable", reason(error));
        // Half of it left to chance, so that several live views do not ask in step.
        await sleep(retryMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
  }

  /** Whether this database has change streams at all. */
  async #isReplicated() {
    // After a first connection that failed, the driver tries again only when it is told to.
    await this.#collection.db.client.connect();
    const hello = await this.#collection.db.command({ hello: 1 });
    return hello.setName !== undefined || hello.msg === "isdbgrid";
  }

  /** @param {AbortSignal} signal */
  async #stream(signal) {
    const start = this.#token ? { resumeAfter: this.#token } : { startAtOperationTime: await this.#reload() };
    if (this.#token) this.counts.resumed += 1;
    const stream = this.#collection.watch(PIPELINE, {
      ...start,
      fullDocument: "updateLookup",
      maxAwaitTimeMS: AWAIT_MS,
    });
    const close = () => void stream.close().catch(() => {});
    signal.addEventListener("abort", close);
    try {
      while (!signal.aborted) {
        const change = await stream.tryNext();
        this.#answered("change stream");
        if (change) this.#apply(change);
        this.#token = stream.resumeToken ?? this.#token;
        if (change?.operationType === "invalidate") {
          this.#token = undefined;
          this.#market.clear();
          return;
        }
      }
    } finally {
      signal.removeEventListener("abort", close);
      await stream.close().catch(() => {});
    }
  }

  /** @param {import("mongodb").ChangeStreamDocument} change */
  #apply(change) {
    switch (change.operationType) {
      case "insert":
      case "replace":
      case "update":
        // An updated document that was deleted meanwhile comes without its content.
        if (change.fullDocument) this.#market.add(change.fullDocument);
        break;
      case "delete":
        this.#market.remove(idText(change.documentKey._id));
        break;
    }
  }

  /**
   * Brings everything recent into the market.
   * @returns {Promise<import("mongodb").Timestamp>} the cluster's time from which on changes are missing
   */
  async #reload() {
    // Causally consistent majority reads see everything up to the time of the session's first answer: so a change is
    // in the snapshot, or it comes after that time and thus in the stream. Some are in both; the market knows them.
    const session = this.#collection.db.client.startSession({ causalConsistency: true });
    try {
      await this.#collection.db.command({ ping: 1 }, { session });
      const time = session.operationTime;
      if (!time) throw new Error("the database tells no operation time");
      await this.#readRecent(RECENT_AVERAGES, { session, readConcern: { level: "majority" } });
      this.counts.reloaded += 1;
      return time;
    } finally {
      await session.endSession();
    }
  }

  /** @param {AbortSignal} signal */
  async #poll(signal) {
    await this.#readRecent(RECENT_AVERAGES);
    this.counts.reloaded += 1;
    this.#answered("polling");
    let round = 0;
    while (!signal.aborted) {
      await sleep(POLL_INTERVAL_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      round += 1;
      // New companies are looked for less often: that costs more than asking for the known ones.
      await this.#readRecent(20, {}, round % 4 === 0 ? undefined : this.#market.companies());
      this.#answered("polling");
      // A single database may be turned into a replica set while we run.
      if (round % 120 === 0 && (await this.#isReplicated())) return;
    }
  }

  /**
   * Adds each company's newest averages to the market, oldest first.
   * @param {number} limit  averages per company
   * @param {import("mongodb").FindOptions} [options]
   * @param {readonly string[]} [companies]  all there are, unless given
   */
  async #readRecent(limit, options = {}, companies) {
    const isIndexed = await this.#isIndexed();
    if (!isIndexed) {
      const look = { ...options, sort: { _id: -1 }, limit: companies ? 100 : UNINDEXED_LOOK_BACK };
      await this.#readInto({}, /** @type {import("mongodb").FindOptions} */ (look));
      return;
    }
    const names =
      companies ??
      (await this.#collection.distinct("company", {}, { ...distinctOptions(options), maxTimeMS: QUERY_MS }));
    for (const company of names) {
      if (typeof company !== "string") continue;
      await this.#readInto({ company }, { ...options, sort: { _id: -1 }, limit });
    }
  }

  /** @param {import("mongodb").Filter<import("mongodb").Document>} filter @param {import("mongodb").FindOptions} options */
  async #readInto(filter, options) {
    const newestFirst = await this.#collection
      .find(filter, { ...options, projection: PROJECTION, maxTimeMS: QUERY_MS })
      .toArray();
    for (const document of newestFirst.reverse()) this.#market.add(document);
  }

  /** Whether an index leads to a company's newest average. Without it all works, but for companies long quiet. */
  async #isIndexed() {
    const indexes = await this.#collection.indexes().catch((error) => {
      const isNotThereYet = error instanceof MongoError && error.code === 26;
      if (isNotThereYet) return undefined;
      throw error;
    });
    // A collection that does not exist yet is as quick to read as an indexed one.
    if (!indexes) return true;
    const isThere = indexes.some(({ key }) => Object.keys(key)[0] === "company" && Object.keys(key)[1] === "_id");
    if (!isThere && !this.#warnedOfIndex) {
      this.#warnedOfIndex = true;
      this.#log.warn("the index {company: 1, _id: -1} is missing: companies long quiet are not shown", {
        collection: this.#collection.namespace,
      });
    }
    return isThere;
  }

  /** @param {"change stream" | "polling"} state */
  #answered(state) {
    this.#lastAnswer = performance.now();
    this.#become(state);
  }

  /** Logs each change of state once. @param {FeedState} state @param {string} [why] */
  #become(state, why) {
    if (state === this.#state) return;
    this.#state = state;
    if (state === "unreachable") this.#log.warn("the database is unreachable: trying again", { reason: why });
    else if (state === "polling") this.#log.warn("no replica set, thus no change stream: asking twice a second");
    else this.#log.info("following the database's change stream");
  }
}

/** @param {unknown} error */
function isLost(error) {
  return (
    error instanceof MongoError &&
    (NOT_RESUMABLE.has(Number(error.code)) || error.hasErrorLabel("NonResumableChangeStreamError"))
  );
}

/** `distinct` takes the session and the read concern, but no sorting. @param {import("mongodb").FindOptions} options */
function distinctOptions({ session, readConcern }) {
  return { ...(session && { session }), ...(readConcern && { readConcern }) };
}
