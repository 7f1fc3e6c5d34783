/**
 * What the tests of the page share: the system, a browser, and a market that is the same for each test.
 */
import { after, afterEach, before, beforeEach } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { ObjectId } from "mongodb";
import { eventually, openDatabase, Viewer, window } from "../support.js";
import { DESKTOP, launch, openPage } from "./browser.js";
import { startSystem } from "./support.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {Awaited<ReturnType<typeof openDatabase>>} Database */

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

/** @param {Page} page @param {string} text */
export function statusIs(page, text) {
  return eventually(
    async () => (await page.locator("#status-text").textContent())?.startsWith(text),
    `the status is ${text}`,
  );
}

/**
 * Starts system and browser for the tests of a suite, and ends them.
 * @param {object} [options]
 * @param {(database: Database) => Promise<unknown>} [options.first]  fills the database before the system starts
 * @param {(database: Database) => Promise<unknown>} [options.each]   makes the market that each test begins with
 */
export function setUpPage({ first, each } = {}) {
  /** @type {Database} */
  let database;
  /** @type {Awaited<ReturnType<typeof startSystem>>} */
  let system;
  /** @type {Awaited<ReturnType<typeof launch>>} */
  let browser;
  /** @type {Awaited<ReturnType<typeof openPage>>[]} */
  let open = [];

  before(async () => {
    database = await openDatabase();
    await first?.(database);
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
    // A test that failed may have left one stopped or frozen.
    for (const liveview of system.liveviews) {
      liveview.thaw();
      if (!liveview.isRunning) await liveview.start();
    }
    await each?.(database);
    await areUpToDate();
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
      await eventually(() => isDeepStrictEqual(known()?.toSorted(), stored), "a live view knows what is stored");
      viewer.close();
    }
  };

  return {
    areUpToDate,
    store: (/** @type {any[]} */ ...documents) => database.store(...documents),
    collection: () => database.collection,
    /** What runs while the tests do. */
    running: {
      get database() {
        return database;
      },
      get system() {
        return system;
      },
      get browser() {
        return browser;
      },
    },
    /**
     * @param {string} [address]
     * @param {import("playwright-core").BrowserContextOptions} [options]
     * @param {(page: Page) => Promise<unknown>} [prepare]  before it is loaded
     */
    async visit(address = "", options = DESKTOP, prepare = async () => {}) {
      const opened = await openPage(browser, options);
      open.push(opened);
      await areUpToDate();
      await prepare(opened.page);
      await opened.page.goto(`${system.url}/${address}`);
      return opened;
    },
  };
}
