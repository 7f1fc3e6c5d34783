/**
 * What the tests of the page share: the system, a browser, and a market that is the same for each test.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { ObjectId } from "mongodb";
import { eventually, openDatabase, Viewer, window } from "../support.js";
import { DESKTOP, launch, openPage } from "./browser.js";
import { startSystem } from "./support.js";

/** @typedef {import("playwright-core").Page} Page */

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let counter = 0;

/**
 * A window that closed some time ago, also by its `_id`.
 * @param {string} company @param {number} avgPrice @param {number} agoMs @param {object} [others]
 */
export function past(company, avgPrice, agoMs, others = {}) {
  const time = Date.now() - agoMs;
  counter += 1;
  const seconds = Math.floor(time / 1000).toString(16);
  const id = new ObjectId(`${seconds.padStart(8, "0")}${counter.toString(16).padStart(16, "0")}`);
  return window(company, avgPrice, { _id: id, closedAt: new Date(time), ...others });
}

/** What is wrong for people who do not see or point. @param {Page} page */
export async function violations(page) {
  // The page's own policy keeps foreign scripts out; this way in is the debugger's.
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: AXE });
  const { result } = await client.send("Runtime.evaluate", {
    expression:
      "axe.run(document, { resultTypes: ['violations'] }).then((found) => JSON.stringify(found.violations.map((one) => [one.id, ...one.nodes.map((node) => node.html + node.failureSummary)])))",
    awaitPromise: true,
  });
  await client.detach();
  return JSON.parse(result.value);
}

/** @param {Page} page @param {string} text */
export function statusIs(page, text) {
  return eventually(
    async () => (await page.locator("#status-text").textContent())?.startsWith(text),
    `the status is ${text}`,
  );
}

/** Starts system and browser for the tests of a suite, and ends them. */
export function setUpPage() {
  /** @type {Awaited<ReturnType<typeof openDatabase>>} */
  let database;
  /** @type {Awaited<ReturnType<typeof startSystem>>} */
  let system;
  /** @type {Awaited<ReturnType<typeof launch>>} */
  let browser;
  /** @type {Awaited<ReturnType<typeof openPage>>[]} */
  let open = [];

  before(async () => {
    database = await openDatabase();
    system = await startSystem(database);
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await system?.stop();
    await database?.close();
  });
  beforeEach(async () => {
    // A browser that crashed fails one test, not all.
    if (!browser.isConnected()) browser = await launch();
    await database.collection.deleteMany({});
  });
  afterEach(async () => {
    await Promise.allSettled(open.map((one) => one.close()));
    open = [];
  });

  /** Waits until both live views know what is stored, so that the page changes only with the test. */
  const areUpToDate = async () => {
    const newest = await database.collection
      .aggregate([{ $sort: { _id: -1 } }, { $group: { _id: "$company", id: { $first: "$_id" } } }])
      .toArray();
    const stored = newest.map(({ id }) => String(id)).toSorted();
    for (const url of system.liveviewUrls) {
      const viewer = await Viewer.open(url.replace("http", "ws"));
      const known = () =>
        viewer
          .all("prices")
          .at(-1)
          ?.prices.map((/** @type {any} */ { _id }) => _id);
      await eventually(() => isDeepStrictEqual(known()?.toSorted() ?? [], stored), "a live view knows what is stored");
      viewer.close();
    }
  };

  return {
    areUpToDate,
    store: (/** @type {any[]} */ ...documents) => database.store(...documents),
    collection: () => database.collection,
    /** @param {string} [address] @param {import("playwright-core").BrowserContextOptions} [options] */
    async visit(address = "", options = DESKTOP) {
      const opened = await openPage(browser, options);
      open.push(opened);
      await areUpToDate();
      await opened.page.goto(`${system.url}/${address}`);
      return opened;
    },
  };
}
