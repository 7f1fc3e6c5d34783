/**
 * The feed: brings every stored average from the database into the market, once and in order, also when the database
 * fails for a while.
 *
 * On a replica set it reads one snapshot at a known cluster time, then follows a change stream from that time. After a
 * failover it resumes the stream by its token. A standalone MongoDB has no change streams: there it queries the newest
 * averages twice a second, by index.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { MongoError } from "mongodb";
import { idText, PROJECTION } from "./average.js";
import { reason } from "./log.js";
import { adviceOnTls } from "./tls.js";
import { RECENT_AVERAGES } from "../page/contract.js";

/** @typedef {import("mongodb").Collection} Collection */
/** @typedef {import("./market.js").Market} Market */
/** @typedef {import("./log.js").Log} Log */
/** @typedef {"connecting" | "change stream" | "polling" | "unreachable"} FeedState */

/** How long the database waits for a change before it answers. So this is also how often it shows that it is alive. */
const AWAIT_MS = 500;
const POLL_INTERVAL_MS = 500;
/** Time limit of a query. With its index, a query takes far less. */
const QUERY_MS = 4000;
/** Without an answer for this long, the data counts as stale. */
const CURRENT_MS = 5000;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2000;
/** Averages read at start when the index is missing, over all companies. */
const UNINDEXED_LOOK_BACK = 5000;

/** Server errors after which a change stream cannot be resumed. */
const NOT_RESUMABLE = new Set([
  136, // CappedPositionLost
  222, // CloseChangeStream
  237, // CursorKilled
  260, // InvalidResumeToken
  280, // ChangeStreamFatalError
  286, // ChangeStreamHistoryLost
]);

/** Leaves out the large fields that are not shown: the lists of counted trades. */
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
  /** Where the change stream resumes. @type {import("mongodb").ResumeToken | undefined} */
  #token;
  #warnedOfIndex = false;

  /** Counters for the metrics. */
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

  /** Whether the market is up to date with the database, give or take a moment. */
  get isCurrent() {
    const isFollowing = this.#state === "change stream" || this.#state === "polling";
    return isFollowing && performance.now() - this.#lastAnswer < CURRENT_MS;
  }

  get lagMs() {
    return 0;
  }

  /** Follows the database. Returns only when `signal` is aborted. @param {AbortSignal} signal */
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
        const isEncrypted = this.#collection.db.client.options.tls;
        this.#become("unreachable", { reason: reason(error), advice: adviceOnTls(error, isEncrypted) });
        // Half of the wait is random, so that several live views do not retry in step.
        await sleep(retryMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
  }

  /** Whether this deployment has change streams: a replica set or a sharded cluster. */
  async #isReplicated() {
    // After a failed first connection, the driver connects again only when told to.
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
        // A document that was deleted since its update comes without its content.
        if (change.fullDocument) this.#market.add(change.fullDocument);
        break;
      case "delete":
        this.#market.remove(idText(change.documentKey._id));
        break;
    }
  }

  /**
   * Reads all recent averages into the market.
   * @returns {Promise<import("mongodb").Timestamp>} the cluster time from which to follow changes
   */
  async #reload() {
    // Causally consistent majority reads see everything up to the operation time of the session's first answer. So
    // every change is in these reads or in the stream from that time. Some are in both: the market ignores duplicates.
    const session = this.#collection.db.client.startSession({ causalConsistency: true });
    try {
      await this.#collection.db.command({ ping: 1 }, { session });
      const time = session.operationTime;
      if (!time) throw new Error("the database reports no operation time");
      await this.#readRecent(RECENT_AVERAGES, { session, readConcern: { level: "majority" } });
      this.counts.reloaded += 1;
      this.#market.loaded();
      return time;
    } finally {
      await session.endSession();
    }
  }

  /** @param {AbortSignal} signal */
  async #poll(signal) {
    await this.#readRecent(RECENT_AVERAGES);
    this.counts.reloaded += 1;
    this.#market.loaded();
    this.#answered("polling");
    let round = 0;
    while (!signal.aborted) {
      await sleep(POLL_INTERVAL_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      round += 1;
      // New companies are looked for less often: it costs more than reading the known ones.
      await this.#readRecent(20, {}, round % 4 === 0 ? undefined : this.#market.companies());
      this.#answered("polling");
      // A standalone MongoDB may be turned into a replica set while the live view runs.
      if (round % 120 === 0 && (await this.#isReplicated())) return;
    }
  }

  /**
   * Adds each company's newest averages to the market, oldest first.
   * @param {number} limit  averages per company
   * @param {import("mongodb").FindOptions} [options]
   * @param {readonly string[]} [companies]  default: all in the collection
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

  /** Whether the index is there. Without it, companies that have been quiet for long are not shown. */
  async #isIndexed() {
    const indexes = await this.#collection.indexes().catch((error) => {
      const isNotThereYet = error instanceof MongoError && error.code === 26;
      if (isNotThereYet) return undefined;
      throw error;
    });
    // A collection that does not exist yet needs no index.
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

  /** Logs each change of state once. @param {FeedState} state @param {import("./log.js").Fields} [why] */
  #become(state, why) {
    if (state === this.#state) return;
    this.#state = state;
    if (state === "unreachable") this.#log.warn("the database is unreachable: trying again", why);
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

/** The options that `distinct` takes, too. @param {import("mongodb").FindOptions} options */
function distinctOptions({ session, readConcern }) {
  return { ...(session && { session }), ...(readConcern && { readConcern }) };
}
