/**
 * A company's past averages, for the charts. The cost of an answer does not depend on the size of the collection: it
 * reads at most `MAX_POINTS` averages by index, and samples longer ranges with one query for each point.
 */
import { ObjectId } from "mongodb";
import { isRange, MAX_NAME_LENGTH, RANGES } from "../page/contract.js";
import { columns, PROJECTION, parseAverage } from "./average.js";
import { reason } from "./log.js";

/** @typedef {import("mongodb").Collection} Collection */
/** @typedef {import("./average.js").Average} Average */
/** @typedef {{status: number, body: object, maxAge: number}} Answer */

/** A range with fewer averages than this is returned whole. */
const MAX_POINTS = 1000;
/** Points of a range with more averages. */
const SAMPLES = 240;
/** Concurrent queries of all requests together, so that other readers of the database are not delayed. */
const CONCURRENCY = 8;
const QUERY_MS = 3000;
/** Cached answers, so that many browsers cost the database as much as one. */
const MAX_CACHED = 200;

export class History {
  #collection;
  #log;
  /** @type {Map<string, {answer: Promise<Answer>, until: number}>} */
  #cache = new Map();
  #free = CONCURRENCY;
  /** @type {Array<() => void>} */
  #waiting = [];

  /** @param {Collection} collection @param {import("./log.js").Log} log */
  constructor(collection, log) {
    this.#collection = collection;
    this.#log = log;
  }

  /**
   * Never rejects.
   * @param {URLSearchParams} query  `company` and `range`
   * @returns {Promise<Answer>} 400 for a bad query, 503 when the database does not answer
   */
  answer(query) {
    const company = query.get("company") ?? "";
    const range = query.get("range") ?? "";
    if (!company || company.length > MAX_NAME_LENGTH || !isRange(range)) {
      const error = `ask for a company and a range (${Object.keys(RANGES).join(", ")})`;
      return Promise.resolve({ status: 400, body: { error }, maxAge: 0 });
    }
    const key = `${range} ${company}`;
    const now = Date.now();
    const cached = this.#cache.get(key);
    if (cached && cached.until > now) return cached.answer;

    const maxAge = Math.ceil(RANGES[range].ms / SAMPLES / 2000);
    const answer = this.#read(company, RANGES[range].ms, now).then(
      (averages) => ({ status: 200, body: { company, range, ...columns(averages) }, maxAge }),
      (error) => {
        this.#cache.delete(key);
        this.#log.warn("a company's history cannot be read", { company, range, reason: reason(error) });
        return { status: 503, body: { error: "the database does not answer: try again" }, maxAge: 0 };
      },
    );
    if (this.#cache.size >= MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value ?? "");
    this.#cache.set(key, { answer, until: now + maxAge * 1000 });
    return answer;
  }

  /** @param {string} company @param {number} span @param {number} now @returns {Promise<Average[]>} oldest first */
  async #read(company, span, now) {
    const newest = await this.#find({ company, _id: { $gte: idAt(now - span) } }, -1, MAX_POINTS);
    if (newest.length < MAX_POINTS) return newest.reverse();

    const step = span / SAMPLES;
    const starts = Array.from({ length: SAMPLES }, (_, index) => now - span + index * step);
    const samples = await Promise.all(
      starts.map((start) => this.#find({ company, _id: { $gte: idAt(start), $lt: idAt(start + step) } }, 1, 1)),
    );
    return [...samples.flat(), newest[0]];
  }

  /**
   * @param {import("mongodb").Filter<import("mongodb").Document>} filter
   * @param {1 | -1} direction
   * @param {number} limit
   */
  async #find(filter, direction, limit) {
    await this.#takeTurn();
    try {
      const documents = await this.#collection
        .find(filter, { sort: { _id: direction }, limit, projection: PROJECTION, maxTimeMS: QUERY_MS })
        .toArray();
      return documents.flatMap((document) => parseAverage(document, 0)?.average ?? []);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }

  /** @returns {Promise<void>} */
  #takeTurn() {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The lowest `_id` of a second. @param {number} time  ms since 1970 */
function idAt(time) {
  return ObjectId.createFromTime(Math.floor(time / 1000));
}
