/**
 * The feed: brings every stored average from the database into the market, once and in order, also when the database
 * fails for a while.
 *
 * On a replica set it reads everything as of one cluster time, then follows a change stream from there. After a
 * failover it resumes the stream by its token. When the collection is dropped, renamed or restored, or the stream's
 * place is lost, it reads everything again, once. A standalone MongoDB has no change streams: there it queries the
 * newest averages twice a second, by index.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { MongoError, Timestamp } from "mongodb";
import { clusterTime, Lag } from "./lag.js";
import { reason } from "./log.js";
import { BehindError, isTimeGone, LookBack, Reader } from "./reader.js";
import { adviceOnTls } from "./tls.js";
import { forEachOf } from "./turns.js";

/** @typedef {import("mongodb").Collection} Collection */
/** @typedef {import("./market.js").Market} Market */
/** @typedef {import("./log.js").Log} Log */
/** @typedef {"connecting" | "change stream" | "polling" | "unreachable"} FeedState */

/** How long the database waits for a change before it answers. So this is also how often it shows that it is alive. */
const AWAIT_MS = 500;
/** A pause after each answer with changes, so that many come in one: browsers get news no more often. */
const PAUSE_MS = 100;
const POLL_INTERVAL_MS = 500;
/** Averages of each company that are read when polling. */
const POLLED = 20;
/** How often the cluster is asked how far it is. */
const SAMPLE_MS = 2000;
/** Without an answer for this long, or this far behind the cluster, the data counts as stale. */
const CURRENT_MS = 5000;
/** A company that ran short of averages waits this long at most for a pause in the stream, then it is read again. */
const SHORT_MS = 1000;
/** A change may be too large to be told: with its `_id` of megabytes, the database cuts the connection each time. */
const MAX_FAILURES_HERE = 4;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2000;
/** Concurrent queries while everything is read. */
const CONCURRENCY = 8;
/** Averages read when the index is missing, over all companies. */
const UNINDEXED_LOOK_BACK = 5000;
/** As many when polling. */
const UNINDEXED_POLLED = 100;

/** Server errors after which a change stream cannot be resumed. */
const NOT_RESUMABLE = new Set([
  136, // CappedPositionLost
  222, // CloseChangeStream
  237, // CursorKilled
  260, // InvalidResumeToken
  280, // ChangeStreamFatalError
  286, // ChangeStreamHistoryLost
  10334, // BSONObjectTooLarge
]);

/** Leaves out what is not shown: above all the lists of counted trades, which are large. */
const PIPELINE = [
  { $match: { operationType: { $in: ["insert", "replace", "update", "delete", "invalidate"] } } },
  {
    $unset: ["fullDocument.trades", "fullDocument.ledger", "updateDescription", "ns", "wallTime", "lsid", "txnNumber"],
  },
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
  /** How often the stream failed at this place, although a member answers. */
  #failuresHere = 0;
  #lag = new Lag();
  #shortSince = Number.POSITIVE_INFINITY;
  #warned = { ofIndex: false, ofHidden: false };

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
    return isFollowing && performance.now() - this.#lastAnswer < CURRENT_MS && this.lagMs < CURRENT_MS;
  }

  /** How far the market is behind the cluster, in ms; 0 when nothing is known that was not read. */
  get lagMs() {
    return this.#lag.ms(performance.now());
  }

  /** Follows the database. Returns only when `signal` is aborted. @param {AbortSignal} signal */
  async run(signal) {
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        const hello = await this.#hello();
        // A replica set or a sharded cluster has change streams.
        if (hello.setName !== undefined || hello.msg === "isdbgrid") await this.#follow(signal, hello);
        else await this.#poll(signal);
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        if (this.#token && isLost(error)) {
          this.#log.warn("the change stream's place is lost: reading everything again", { reason: reason(error) });
          this.#token = undefined;
        }
        if (this.#failuresHere >= MAX_FAILURES_HERE) {
          this.#log.warn("the change stream does not get on: reading everything again", { reason: reason(error) });
          this.#token = undefined;
        }
        if (error instanceof BehindError) this.#lag = new Lag();
        this.counts.failed += 1;
        if (performance.now() - this.#lastAnswer < CURRENT_MS) retryMs = FIRST_RETRY_MS;
        const isEncrypted = this.#collection.db.client.options.tls;
        this.#become("unreachable", { reason: reason(error), advice: adviceOnTls(error, isEncrypted) });
        // Half of the wait is random, so that several live views do not retry in step.
        await pause(retryMs * (0.5 + Math.random() / 2), signal);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
  }

  /** What the primary says of itself and of the cluster's time; without a primary, what a secondary says. */
  async #hello() {
    const { client } = this.#collection.db;
    // After a failed first connection, the driver connects again only when told to.
    await client.connect();
    return await client.db("admin").command({ hello: 1 }, { readPreference: "primaryPreferred" });
  }

  /** @param {AbortSignal} signal @param {import("mongodb").Document} hello */
  async #follow(signal, hello) {
    const isSharded = hello.setName === undefined;
    const isResumed = this.#token !== undefined;
    const position = isResumed ? this.#lag.position : await this.#reload(signal);
    // The shards of an idle cluster tell their time only every ten seconds: it is no measure of a lag.
    this.#lag.start(position, isSharded ? 0n : clusterTime(hello.operationTime), performance.now());
    const ending = new AbortController();
    if (!isSharded) void this.#sample(ending.signal);
    try {
      await this.#stream(signal, isResumed ? undefined : position + 1n);
    } finally {
      ending.abort();
    }
  }

  /**
   * Follows the change stream until the collection is gone.
   * @param {AbortSignal} signal
   * @param {bigint | undefined} from  the cluster time of the first change; default: after the last one
   */
  async #stream(signal, from) {
    if (from === undefined) this.counts.resumed += 1;
    this.#failuresHere += 1;
    const session = this.#collection.db.client.startSession();
    const stream = this.#collection.watch(PIPELINE, {
      ...(from === undefined ? { startAfter: this.#token } : { startAtOperationTime: new Timestamp(from) }),
      fullDocument: "updateLookup",
      maxAwaitTimeMS: AWAIT_MS,
      promoteLongs: false,
      session,
    });
    const close = () => void stream.close().catch(() => {});
    signal.addEventListener("abort", close);
    try {
      while (!signal.aborted) {
        const change = await stream.tryNext();
        this.#failuresHere = 0;
        this.#answered("change stream");
        if (change) this.#apply(change);
        // An empty answer says that there was nothing up to its time.
        const reached = change ? change.clusterTime : session.operationTime;
        if (reached) this.#lag.reach(clusterTime(reached));
        this.#token = stream.resumeToken ?? this.#token;
        if (change?.operationType === "invalidate") {
          // What follows is another collection. The reload reads at a time after this one, so it is not met again.
          this.#token = undefined;
          return;
        }
        await this.#readShort(!change);
        if (change && stream.bufferedCount() === 0) await pause(PAUSE_MS, signal);
      }
    } finally {
      signal.removeEventListener("abort", close);
      await stream.close().catch(() => {});
      await session.endSession();
    }
  }

  /** @param {import("mongodb").ChangeStreamDocument} change */
  #apply(change) {
    switch (change.operationType) {
      case "insert":
      case "replace":
      case "update":
        // A document that was deleted since its update comes without its content.
        if (change.fullDocument) {
          this.#market.add(change.fullDocument, { isUpdate: change.operationType !== "insert" });
          this.#warnOfHidden();
        }
        break;
      case "delete":
        this.#market.remove(change.documentKey._id);
        break;
    }
  }

  /** Remembers how far the cluster is. @param {AbortSignal} signal */
  async #sample(signal) {
    while (!signal.aborted) {
      await pause(SAMPLE_MS, signal);
      if (signal.aborted) return;
      // Without an answer there is no sample: the stream itself tells that the database is away.
      const hello = await this.#hello().catch(() => undefined);
      if (hello?.operationTime && !signal.aborted)
        this.#lag.sample(clusterTime(hello.operationTime), performance.now());
    }
  }

  /**
   * Reads all recent averages into the market.
   * @param {AbortSignal} signal
   * @returns {Promise<bigint>} the cluster time at which they were read
   */
  async #reload(signal) {
    for (const began = performance.now(); ;) {
      // What was seen so far must not be unseen: after a drop, a member that is behind still has the collection.
      const { time, reader } = await Reader.atClusterTime(this.#collection, this.#lag.position, signal);
      try {
        await this.#load(reader);
        return clusterTime(time);
      } catch (error) {
        // The collection was created a moment ago.
        if (!isTimeGone(error) || performance.now() - began > CURRENT_MS) throw error;
        await sleep(FIRST_RETRY_MS);
      }
    }
  }

  /** @param {Reader} reader */
  async #load(reader) {
    const source = await this.#source(reader);
    const picture = this.#market.draft(await source.names());
    await this.#readEach(source, picture.companies, picture.limitEach, (company, { found, isWhole }) =>
      picture.add(company, found, isWhole),
    );
    this.counts.reloaded += 1;
    this.#market.load(picture);
    this.#warnOfHidden();
  }

  /**
   * Reads the companies again that ran short of averages, as they are at the stream's own time.
   * @param {boolean} isPause  whether the stream has nothing else to tell now
   */
  async #readShort(isPause) {
    if (!this.#market.isShort) return;
    const now = performance.now();
    this.#shortSince = Math.min(this.#shortSince, now);
    if (!isPause && !this.#market.isEmptied && now - this.#shortSince < SHORT_MS) return;
    this.#shortSince = Number.POSITIVE_INFINITY;
    try {
      await this.#refresh(new Reader(this.#collection, new Timestamp(this.#lag.position)));
    } catch (error) {
      // Then everything is read again.
      this.#token = undefined;
      throw error;
    }
  }

  /** @param {Reader} reader */
  async #refresh(reader) {
    const companies = this.#market.takeShort();
    if (companies.length === 0) return;
    await this.#readEach(await this.#source(reader), companies, this.#market.limitEach, (company, { found, isWhole }) =>
      this.#market.refresh(company, found, isWhole),
    );
  }

  /**
   * @param {Reader | LookBack} source
   * @param {Iterable<string>} companies
   * @param {number} limit  averages of each
   * @param {(company: string, found: import("./reader.js").Found) => void} take
   */
  async #readEach(source, companies, limit, take) {
    await forEachOf(companies, CONCURRENCY, async (company) => {
      const found = await source.newestOf(company, limit);
      this.#lastAnswer = performance.now();
      take(company, found);
    });
  }

  /** @param {AbortSignal} signal */
  async #poll(signal) {
    this.#token = undefined;
    this.#lag = new Lag();
    const reader = new Reader(this.#collection);
    await this.#load(reader);
    this.#answered("polling");
    for (let round = 1; !signal.aborted; round += 1) {
      await pause(POLL_INTERVAL_MS, signal);
      if (signal.aborted) return;
      // New companies are looked for less often: it costs more than reading the known ones.
      await this.#pollOnce(reader, round % 4 === 0);
      this.#answered("polling");
      // A standalone MongoDB may be turned into a replica set while the live view runs.
      if (round % 120 === 0 && (await this.#hello()).setName !== undefined) return;
    }
  }

  /** @param {Reader} reader @param {boolean} isForAll  whether to look for new companies */
  async #pollOnce(reader, isForAll) {
    const source = await this.#source(reader, UNINDEXED_POLLED);
    const isIndexed = source instanceof Reader;
    const known = isIndexed || source.isWhole ? this.#market.companies() : [];
    const companies = new Set([...known, ...(isForAll || !isIndexed ? await source.names() : [])]);
    await this.#readEach(source, companies, POLLED, (company, { found, isWhole }) =>
      this.#market.refresh(company, found, isWhole),
    );
    await this.#refresh(reader);
  }

  /**
   * Where to read from. Without the index, companies that have been quiet for long are not shown.
   * @param {Reader} reader
   * @param {number} [unindexed]  documents to read when the index is missing, over all companies
   */
  async #source(reader, unindexed = UNINDEXED_LOOK_BACK) {
    if (await reader.isIndexed()) return reader;
    if (!this.#warned.ofIndex) {
      this.#warned.ofIndex = true;
      this.#log.warn("the index {company: 1, _id: -1} is missing: companies long quiet are not shown", {
        collection: this.#collection.namespace,
      });
    }
    return new LookBack(await reader.newest(unindexed));
  }

  #warnOfHidden() {
    const hidden = this.#market.hiddenCompanies;
    if (hidden === 0 || this.#warned.ofHidden) return;
    this.#warned.ofHidden = true;
    this.#log.warn("there are too many companies: only the first ones of the alphabet are shown", {
      shown: this.#market.companies().length,
      hidden,
    });
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

/** Waits for this long, or until `signal` is aborted. @param {number} ms @param {AbortSignal} signal */
async function pause(ms, signal) {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
