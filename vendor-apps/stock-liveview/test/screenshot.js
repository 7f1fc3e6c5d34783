/**
 * Takes the README's pictures: the page as it is, through NGINX, of a market that is the same every time.
 * Run by `npm run screenshot`.
 */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { eventually, openDatabase, window } from "./support.js";
import { launch, openPage, PHONE } from "./system/browser.js";
import { startSystem } from "./system/support.js";

const FOLDER = path.join(import.meta.dirname, "..", "..", "..", "docs");
const DESKTOP = { viewport: { width: 1280, height: 840 }, deviceScaleFactor: 1.5 };
const PAST = 300;

/** Numbers from 0 to 1 that are the same every time. @param {number} seed */
function* random(seed) {
  for (let state = seed; ;) {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    yield state / 2 ** 32;
  }
}

/** A company's windows on a random walk. @param {string} company @param {number} base @param {number} seed */
function* walk(company, base, seed) {
  const numbers = random(seed);
  const next = () => /** @type {number} */ (numbers.next().value);
  for (let price = base; ; price *= 1 + (next() - 0.497) * 0.004) {
    const buys = 470 + Math.floor(next() * 60);
    yield window(company, price, {
      buy: { count: buys, avgPrice: price * (1 + (next() - 0.5) * 0.003) },
      sell: { count: 1000 - buys, avgPrice: price * (1 + (next() - 0.5) * 0.003) },
      minPrice: price * (1 - 0.02 * next()),
      maxPrice: price * (1 + 0.02 * next()),
    });
  }
}

const database = await openDatabase();
const system = await startSystem(database);
const browser = await launch();
try {
  /** A company's last minutes, up to now. @param {string} company @param {number} base @param {number} seed */
  const past = (company, base, seed) => {
    const windows = walk(company, base, seed);
    return Array.from({ length: PAST }, (_, index) => ({
      ...windows.next().value,
      closedAt: new Date(Date.now() - (PAST - 1 - index) * 1000),
    }));
  };
  await mkdir(FOLDER, { recursive: true });

  const views = [
    { name: "light", address: "", options: { ...DESKTOP, colorScheme: "light" } },
    { name: "dark", address: "#MSFT", options: { ...DESKTOP, colorScheme: "dark" } },
    { name: "phone", address: "", options: { ...PHONE, colorScheme: "light" } },
    { name: "phone-dark", address: "#TSLA", options: { ...PHONE, colorScheme: "dark" } },
  ];
  for (const { name, address, options } of views) {
    const { page, close } = await openPage(
      browser,
      /** @type {import("playwright-core").BrowserContextOptions} */ ({ ...options, reducedMotion: "reduce" }),
    );
    await database.collection.deleteMany({});
    await database.store(...past("AAPL", 189.4, 11), ...past("MSFT", 412.3, 23), ...past("TSLA", 238.9, 5));
    await page.goto(`${system.url}/${address}`);
    await eventually(async () => (await page.locator("#status-text").textContent()) === "Live", "the page is live");
    if (name === "dark") {
      const box = await page.locator(".plot .u-over").boundingBox();
      if (box) await page.mouse.move(box.x + box.width * 0.62, box.y + box.height * 0.3);
    }
    await page.evaluate(() => globalThis.document.fonts.ready);
    await page.waitForTimeout(700);
    await page.screenshot({ path: path.join(FOLDER, `screenshot-${name}.png`) });
    await close();
  }
} finally {
  await browser.close();
  await system.stop();
  await database.close();
}
