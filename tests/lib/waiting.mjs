// For tests that wait for something to happen.
import { availableParallelism, loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

/** Time limits are meant for an idle machine. This is the factor for the present load: 1 to 5. */
export const overload = () => Math.min(5, Math.max(1, loadavg()[0] / availableParallelism()));

/**
 * Repeats `attempt` until it returns something truthy, and returns that. Fails after `limitMs`, with the last problem.
 * @template T @param {() => T | Promise<T>} attempt @returns {Promise<T>}
 */
export async function eventually(what, limitMs, attempt, pauseMs = 100) {
  const begin = performance.now();
  for (;;) {
    let problem;
    try {
      const result = await attempt();
      if (result) return result;
    } catch (error) {
      problem = error;
    }
    const waitedMs = performance.now() - begin;
    if (waitedMs > limitMs * overload())
      throw new Error(`${what}: not within ${(waitedMs / 1000).toFixed(1)} s`, { cause: problem });
    await sleep(pauseMs);
  }
}
