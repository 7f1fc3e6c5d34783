/**
 * Past averages from the database: of one company for its charts, of all companies for their changes. The cost of an
 * answer does not depend on the size of the collection: everything is read by index, a bounded number of documents of
 * each company. Answers are cached, so that many browsers cost the database as much as one.
 */
import { ObjectId } from "mongodb";
import { isPast, isRange, MAX_NAME_LENGTH, PAST, RANGES } from "../page/contract.js";
import { columns, PROJECTION, parseAverage } from "./average.js";
import { reason } from "./log.js";
import { Turns } from "./turns.js";

/** @typedef {import("mongodb").Collection} Collection */
/** @typedef {import("mongodb").Document} Document */
/** @typedef {import("./average.js").Average} Average */
/** @typedef {import("./market.js").Market} Market */
/** @typedef {{status: number, body: object, maxAge: number}} Answer */

/** A range with fewer averages than this is returned whole. */
const MAX_POINTS = 1000;
/** Points of a range with more averages. */
const SAMPLES = 240;
/** Concurrent queries of all requests together, so that other readers of the database are not delayed. */
const CONCURRENCY = 8;
/** As many of those for all companies' past, so that they do not delay a chart. */
const PAST_CONCURRENCY = 4;
const QUERY_MS = 3000;
/** Browsers, and caches on the way to them, do not learn that an answer has become wrong. */
const MAX_AGE_S = 10;
/** Cached histories. */
const MAX_CACHED = 200;

/** How long an answer of `past` is right enough, in ms. */
const PAST_CACHED_MS = Object.freeze({ "5m": 15_000, "1h": 15_000, "1d": 60_000 });

export class History {
  #collection;
  #market;
  #log;
  /** @type {Map<string, {answer: Promise<Answer>, until: number}>} */
  #cache = new Map();
  #turns = new Turns(CONCURRENCY);
  #pastTurns = new Turns(PAST_CONCURRENCY);

  /** @param {Collection} collection @param {import("./log.js").Log} log @param {Market} [market]  needed for `past` */
  constructor(collection, log, market) {
    this.#collection = collection;
    this.#log = log;
    this.#market = market;
    market?.on("changed", (company) => {
      for (const range of Object.keys(RANGES)) this.#cache.delete(`${range} ${company}`);
    });
    market?.on("reloaded", () => this.#cache.clear());
  }

  /**
   * Of one company. Never rejects.
   * @param {URLSearchParams} query  `company` and `range`
   * @returns {Promise<Answer>} 400 for a bad query, 503 when the database does not answer
   */
  answer(query) {
    const company = query.get("company") ?? "";
    const range = query.get("range") ?? "";
    if (!company || company.length > MAX_NAME_LENGTH || !isRange(range)) {
      return invalid(`ask for a company and a range (${Object.keys(RANGES).join(", ")})`);
    }
    const { ms } = RANGES[range];
    return this.#cached(`${range} ${company}`, (ms / SAMPLES / 2000) * 1000, async () => {
      const averages = await this.#read(company, ms, Date.now());
      return { company, range, ...columns(averages) };
    });
  }

  /**
   * Of every company the newest price that is at least this old. Companies without one are left out, also those whose
   * documents do not say how old they are. Never rejects.
   * @param {URLSearchParams} query  `ago`: 5m, 1h or 1d
   * @returns {Promise<Answer>} 400 for a bad query, 503 when the database does not answer
   */
  past(query) {
    const ago = query.get("ago") ?? "";
    if (!isPast(ago)) return invalid(`ask how long ago (${Object.keys(PAST).join(", ")})`);
    return this.#cached(`past ${ago}`, PAST_CACHED_MS[ago], async () => {
      const at = Date.now() - PAST[ago];
      const companies = this.#market?.companies() ?? [];
      const prices = await Promise.all(companies.map((company) => this.#priceAt(company, at)));
      const known = companies.flatMap((company, index) => {
        const price = prices[index];
        return price === undefined ? [] : [/** @type {const} */ ([company, price])];
      });
      return { ago, at, prices: Object.fromEntries(known) };
    });
  }

  /**
   * @param {string} key
   * @param {number} ms  how long the answer is right enough
   * @param {() => Promise<object>} read
   * @returns {Promise<Answer>}
   */
  #cached(key, ms, read) {
    const now = Date.now();
    const cached = this.#cache.get(key);
    if (cached && cached.until > now) return cached.answer;

    const maxAge = Math.min(Math.ceil(ms / 1000), MAX_AGE_S);
    const answer = read().then(
      (body) => ({ status: 200, body, maxAge }),
      (error) => {
        this.#cache.delete(key);
        this.#log.warn("past averages cannot be read", { what: key, reason: reason(error) });
        return { status: 503, body: { error: "the database does not answer: try again" }, maxAge: 0 };
      },
    );
    this.#cache.delete(key);
    if (this.#cache.size >= MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value ?? "");
    this.#cache.set(key, { answer, until: now + ms });
    return answer;
  }

  /** @param {string} company @param {number} span @param {number} now @returns {Promise<Average[]>} oldest first */
  async #read(company, span, now) {
    const since = now - span;
    const newest = await this.#find({ company, _id: { $gte: idAt(since) } }, -1, MAX_POINTS);
    if (newest.length < MAX_POINTS) {
      return (await this.#hasOtherIds(company, newest.length + 1))
        ? await this.#readOfAnyId(company, since)
        : averagesOf(newest);
    }
    const step = span / SAMPLES;
    const starts = Array.from({ length: SAMPLES }, (_, index) => since + index * step);
    const samples = await Promise.all(
      starts.map((start) => this.#find({ company, _id: { $gte: idAt(start), $lt: idAt(start + step) } }, 1, 1)),
    );
    const sampled = averagesOf(samples.flat().reverse());
    const [last] = averagesOf([newest[0]]);
    return last && last._id !== sampled.at(-1)?._id ? [...sampled, last] : sampled;
  }

  /** Whether there are other `_id`s than ObjectIds among a company's newest. The index alone tells. @param {string} company @param {number} limit */
  async #hasOtherIds(company, limit) {
    const documents = await this.#find({ company }, -1, limit, { _id: 1 });
    return documents.some(({ _id }) => !(_id instanceof ObjectId));
  }

  /**
   * Only an ObjectId tells by itself how old it is. So these are the newest, without those that are known to be older.
   * @param {string} company @param {number} since
   */
  async #readOfAnyId(company, since) {
    const newest = await this.#find({ company }, -1, MAX_POINTS);
    return averagesOf(newest.filter((document) => (timeOf(document) ?? since) >= since));
  }

  /** @param {string} company @param {number} at @returns {Promise<number | undefined>} */
  async #priceAt(company, at) {
    const recent = this.#market?.recent(company) ?? [];
    const known = recent.findLast(({ seenAt }) => seenAt <= at);
    if (known) return known.avgPrice;
    if (this.#market?.isWhole(company)) return undefined;
    return await this.#pastTurns.take(async () => {
      const [average] = averagesOf(await this.#find({ company, _id: { $lt: idAt(at) } }, -1, 1));
      if (average || !(await this.#hasOtherIds(company, 1))) return average?.avgPrice;
      const newest = await this.#find({ company }, -1, MAX_POINTS);
      return averagesOf(newest.filter((document) => (timeOf(document) ?? Infinity) <= at)).at(-1)?.avgPrice;
    });
  }

  /**
   * @param {import("mongodb").Filter<Document>} filter
   * @param {1 | -1} direction
   * @param {number} limit
   * @param {Document} [projection]
   */
  #find(filter, direction, limit, projection = PROJECTION) {
    const options = { sort: { _id: direction }, limit, projection, maxTimeMS: QUERY_MS, promoteLongs: false };
    return this.#turns.take(() => this.#collection.find(filter, options).toArray());
  }
}

/** @param {string} error @returns {Promise<Answer>} */
function invalid(error) {
  return Promise.resolve({ status: 400, body: { error }, maxAge: 0 });
}

/** @param {readonly Document[]} documents  newest first @returns {Average[]} oldest first */
function averagesOf(documents) {
  return documents.flatMap((document) => parseAverage(document, 0)?.average ?? []).reverse();
}

/** When a document was made, in ms since 1970, if it says so. @param {Document} document @returns {number | undefined} */
function timeOf({ closedAt, _id }) {
  if (closedAt instanceof Date && Number.isFinite(closedAt.getTime())) return closedAt.getTime();
  return _id instanceof ObjectId ? _id.getTimestamp().getTime() : undefined;
}

/** The lowest `_id` of a second. @param {number} time  ms since 1970 */
function idAt(time) {
  return ObjectId.createFromTime(Math.floor(time / 1000));
}
