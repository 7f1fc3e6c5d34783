// The original publisher and live views in place of ours: their averages reach the page.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as security from "./security.mjs";
import { System, Visitor } from "./system.mjs";

const system = new System(["compose.original.yml"]);

describe("with the original publisher and live views", () => {
  before(() => system.remove());
  after(() => system.remove());

  test("averages of every company reach the page", async (t) => {
    const visitor = new Visitor();
    try {
      const begin = Date.now();
      const [last] = await Promise.all([visitor.everyCompany(begin, 180_000), system.up()]);
      t.diagnostic(`after ${((last - begin) / 1000).toFixed(1)} s`);
    } finally {
      await visitor.leave();
    }
    await system.healthy();
  });

  test("no secret shows, although the originals cannot read secrets from files", async () => {
    const problems = await security.checkSecrets(system);
    // The original publisher reads its URL from its environment; the engine does not show it.
    assert.deepEqual(
      problems.filter(
        (problem) => !/^the environment of stock-publisher in publisher shows rabbitmq-publisher/.test(problem),
      ),
      [],
    );
  });

  test("the originals pass the same checks as ours", async () => {
    assert.deepEqual(await security.checkProcesses(system), []);
    assert.deepEqual(await security.checkFiles(system), []);
    assert.deepEqual(await security.checkSettings(system), []);
  });
});
