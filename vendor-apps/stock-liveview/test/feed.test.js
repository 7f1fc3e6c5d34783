/** The feed, through what happens to a database. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { SUBPROTOCOL } from "../page/contract.js";
import { closeAfter, eventually, openDatabase, startLiveview, startMongod, Viewer, window } from "./support.js";

/** Controls the servers of tests/with-servers. @param {...string} command @returns {Promise<string>} */
async function servers(...command) {
  const control = process.env.TEST_SERVERS;
  assert.ok(control, "TEST_SERVERS is missing: run `make test`, or `tests/with-servers npm test`");
  return (await promisify(execFile)(control, command)).stdout.trim();
}

describe("the feed", () => {
  it("misses no window and shows none twice when the primary is killed", async (test) => {
    const closing = closeAfter(test);
    const database = await openDatabase();
    closing(() => database.close());
    const liveview = await startLiveview(database);
    closing(() => liveview.stop());
    const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
    closing(() => viewer.close());
    const stop = new AbortController();
    let stored = 0;
    const storing = (async () => {
      while (!stop.signal.aborted) {
        // As the consumer does: a write whose outcome is unknown goes out again under its _id until it is there.
        const document = { _id: `${stored}`.padStart(6, "0"), ...window("MSFT", stored) };
        for (let isStored = false; !isStored;) {
          isStored = await database.store(document).then(
            () => true,
            (error) => error.code === 11000,
          );
        }
        stored += 1;
        await sleep(50);
      }
    })();
    await eventually(() => viewer.told("MSFT").length >= 10, "it flows");

    const killed = await servers("primary");
    await servers("kill", killed);
    const storedBefore = stored;
    try {
      await eventually(() => stored > storedBefore + 20, "a new primary takes windows", 40_000);
    } finally {
      stop.abort();
      await storing;
      await servers("start", killed);
    }
    await eventually(() => viewer.told("MSFT").at(-1) === stored - 1, "the last window is shown");
    assert.deepEqual(
      viewer.told("MSFT"),
      Array.from({ length: stored }, (_, index) => index),
    );
    assert.equal(viewer.closeCode, undefined, "the browser noticed nothing");
    assert.ok(liveview.isReady());
  });

  it("goes on after the whole database was down, and is not current meanwhile", async (test) => {
    const closing = closeAfter(test);
    const single = await startMongod();
    closing(() => single.stop());
    const database = await openDatabase({ url: single.url });
    closing(() => database.close());
    await database.store(window("MSFT", 1));
    const liveview = await startLiveview(database);
    closing(() => liveview.stop());
    const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
    closing(() => viewer.close());
    await single.kill();
    await eventually(() => viewer.all("alive").at(-1)?.isCurrent === false, "browsers are told");
    assert.equal((await fetch(`${liveview.url}/readyz`)).status, 503);
    assert.equal((await fetch(`${liveview.url}/`)).status, 200, "the page is still served");
    assert.deepEqual(viewer.told("MSFT"), [1], "what was known is still shown");
    single.start();
    await database.store(window("MSFT", 2));
    await eventually(() => viewer.told("MSFT").at(-1) === 2, "new windows are shown again");
    await eventually(() => viewer.all("alive").at(-1)?.isCurrent === true, "browsers are told that it is current");
    assert.deepEqual(viewer.told("MSFT"), [1, 2]);
  });

  it("polls a standalone MongoDB twice a second, and logs it", async (test) => {
    const closing = closeAfter(test);
    const single = await startMongod();
    closing(() => single.stop());
    const database = await openDatabase({ url: single.url });
    closing(() => database.close());
    await database.store(window("MSFT", 1));
    const liveview = await startLiveview(database);
    closing(() => liveview.stop());
    assert.match(liveview.lines.join(""), /no replica set, thus no change stream: asking twice a second/);
    assert.equal(await (await fetch(`${liveview.url}/readyz`)).text(), "ready: polling\n");
    const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
    closing(() => viewer.close());
    for (const price of [2, 3, 4]) await database.store(window("MSFT", price));
    await database.store(window("NEW", 9), { _id: 1, company: "NUMBER", avgPrice: 8 });
    await eventually(() => viewer.told("NUMBER").length === 1 && viewer.told("MSFT").length === 4, "new averages");
    await sleep(1200);
    assert.deepEqual(viewer.told("MSFT"), [1, 2, 3, 4]);
    assert.deepEqual(viewer.told("NUMBER"), [8]);
    assert.equal(viewer.all("market").length, 1, "what is read again is not told again");
  });

  it("works without the index, and warns once", async (test) => {
    const closing = closeAfter(test);
    const database = await openDatabase({ isIndexed: false });
    closing(() => database.close());
    await database.store(...[1, 2, 3].map((avgPrice) => ({ company: "BARE", avgPrice })));
    const liveview = await startLiveview(database);
    closing(() => liveview.stop());
    const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
    closing(() => viewer.close());
    await database.store({ company: "BARE", avgPrice: 4 });
    await eventually(() => viewer.told("BARE").length === 4, "all are shown");
    assert.equal(liveview.lines.filter((line) => line.includes("index")).length, 1);
  });
});
