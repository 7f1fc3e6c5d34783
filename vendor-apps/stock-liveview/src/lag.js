/**
 * How far a follower is behind the cluster. Every two seconds the feed asks the primary how far the cluster is, and
 * remembers when it was told. The lag is the age of the oldest such sample that the follower has not reached yet.
 *
 * A follower that starts at an older place has no samples of what it missed. Until it has caught up, its lag is the
 * difference in the cluster's own time.
 *
 * Cluster times are bigints: the seconds since 1970, then 32 bits that count within a second.
 */

/** An empty answer may take half a second, and says only then how far it reached. A younger sample shows no lag. */
const GRACE_MS = 1500;
/** Samples that are remembered: of more than two hours. */
const MAX_SAMPLES = 4000;

export class Lag {
  /** Not reached yet, oldest first. @type {Array<{time: bigint, at: number}>} */
  #samples = [];
  #newest = 0n;
  #position = 0n;
  #isCatchingUp = false;

  /** The cluster time up to which everything was read. */
  get position() {
    return this.#position;
  }

  /**
   * The follower starts.
   * @param {bigint} position  where
   * @param {bigint} cluster   how far the cluster is
   * @param {number} now       ms, of any clock that is never set
   */
  start(position, cluster, now) {
    this.#position = position;
    this.#samples = [];
    this.#newest = cluster;
    this.#isCatchingUp = false;
    this.sample(cluster, now);
    this.#isCatchingUp = this.#samples.length > 0;
  }

  /** The cluster is this far. @param {bigint} time @param {number} now */
  sample(time, now) {
    if (time <= this.#position || time <= (this.#samples.at(-1)?.time ?? 0n)) return;
    this.#newest = time;
    this.#samples.push({ time, at: now });
    if (this.#samples.length > MAX_SAMPLES) this.#samples.splice(1, 1);
  }

  /** The follower has read everything up to this time. @param {bigint} time */
  reach(time) {
    if (time <= this.#position) return;
    this.#position = time;
    const first = this.#samples.findIndex((sample) => sample.time > time);
    if (first !== 0) this.#samples.splice(0, first < 0 ? this.#samples.length : first);
    if (this.#samples.length === 0) this.#isCatchingUp = false;
  }

  /** In ms; 0 when nothing is known that was not read. @param {number} now */
  ms(now) {
    const [oldest] = this.#samples;
    if (!oldest) return 0;
    if (this.#isCatchingUp) return Number((this.#newest >> 32n) - (this.#position >> 32n)) * 1000;
    const age = now - oldest.at;
    return age < GRACE_MS ? 0 : Math.round(age);
  }
}

/** A cluster time as a number. @param {import("mongodb").Timestamp} timestamp */
export function clusterTime({ t, i }) {
  return (BigInt(t) << 32n) | BigInt(i);
}
