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
/** Windows of a company, and seconds between them. */
const FEW = { windows: 300, seconds: 1 };
const MANY = { windows: 40, seconds: 12 };
const COMPANIES = 500;

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

/** Symbols of two to four letters, the same every time. @param {number} count */
function symbols(count) {
  const numbers = random(7);
  const letter = () => String.fromCodePoint(65 + Math.floor(26 * /** @type {number} */ (numbers.next().value)));
  /** @type {Set<string>} */
  const found = new Set();
  while (found.size < count) found.add(Array.from({ length: 2 + (found.size % 3) }, letter).join(""));
  return [...found];
}

const database = await openDatabase();
const system = await startSystem(database);
const browser = await launch();
try {
  /** A company's last minutes, up to now. @param {typeof FEW} pace @param {string} company @param {number} base @param {number} seed */
  const past = ({ windows, seconds }, company, base, seed) => {
    const walked = walk(company, base, seed);
    return Array.from({ length: windows }, (_, index) => ({
      ...walked.next().value,
      closedAt: new Date(Date.now() - (windows - 1 - index) * seconds * 1000),
    }));
  };
  const few = () => [...past(FEW, "AAPL", 189.4, 11), ...past(FEW, "MSFT", 412.3, 23), ...past(FEW, "TSLA", 238.9, 5)];
  const many = () => {
    const numbers = random(3);
    return symbols(COMPANIES).flatMap((symbol, index) =>
      past(MANY, symbol, 10 ** (0.7 + 2 * /** @type {number} */ (numbers.next().value)), index + 1),
    );
  };
  await mkdir(FOLDER, { recursive: true });

  const views = [
    { name: "light", market: few, address: "", options: { ...DESKTOP, colorScheme: "light" } },
    { name: "dark", market: few, address: "#MSFT", options: { ...DESKTOP, colorScheme: "dark" } },
    { name: "phone", market: few, address: "", options: { ...PHONE, colorScheme: "light" } },
    { name: "phone-dark", market: few, address: "#TSLA", options: { ...PHONE, colorScheme: "dark" } },
    { name: "many", market: many, address: "?sort=-price", options: { ...DESKTOP, colorScheme: "light" } },
    { name: "many-phone", market: many, address: "?sort=-price", options: { ...PHONE, colorScheme: "dark" } },
  ];
  for (const { name, market, address, options } of views) {
    const { page, close } = await openPage(
      browser,
      /** @type {import("playwright-core").BrowserContextOptions} */ ({ ...options, reducedMotion: "reduce" }),
    );
    await database.collection.deleteMany({});
    const windows = market();
    const last = [...new Map(windows.map((one) => [one.company, one])).values()];
    await database.store(...windows.filter((one) => !last.includes(one)));
    await page.goto(`${system.url}/${address}`);
    await eventually(async () => (await page.locator("#status-text").textContent()) === "Live", "the page is live");
    const count = `${last.length} companies`;
    await eventually(
      async () => address.includes("#") || (await page.locator("#overview-count").textContent()) === count,
      "all companies",
    );
    // So that prices have changed since the page was opened.
    await database.store(...last);
    if (name === "dark") {
      const box = await page.locator(".plot .u-over").boundingBox();
      if (box) await page.mouse.move(box.x + box.width * 0.62, box.y + box.height * 0.3);
    }
    await page.evaluate(() => globalThis.document.fonts.ready);
    await page.waitForTimeout(3000);
    await page.screenshot({ path: path.join(FOLDER, `screenshot-${name}.png`) });
    await close();
  }
} finally {
  await browser.close();
  await system.stop();
  await database.close();
}
