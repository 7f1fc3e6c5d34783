/** From the moment a window is stored to the moment a browser shows it, at the default rate, through NGINX. */
import { setTimeout as sleep } from "node:timers/promises";
import { launch, openPage } from "../test/system/browser.js";
import { startSystem } from "../test/system/support.js";
import { eventually, openDatabase, window } from "../test/support.js";
import { median, ms, percentile, report, verdict } from "./statistics.js";

const COMPANIES = ["AAPL", "MSFT", "TSLA"];
const WINDOWS = 120;

export async function latency() {
  const database = await openDatabase();
  const system = await startSystem(database);
  const browser = await launch();
  try {
    await database.store(...COMPANIES.map((company) => window(company, 1)));
    const { page } = await openPage(browser);
    await page.goto(`${system.url}/`);
    await eventually(async () => (await page.locator(".card").count()) === COMPANIES.length, "all cards");
    // When each price is on the screen: the frame after the one in which it was put in place.
    await page.evaluate(() => {
      /** @type {Record<string, number>} */
      const shown = {};
      Object.assign(globalThis, { shown });
      for (const card of document.querySelectorAll(".card")) {
        const company = card.querySelector("h2")?.textContent;
        new MutationObserver(() => {
          const key = `${company} ${card.querySelector(".price")?.textContent}`;
          requestAnimationFrame(() => (shown[key] ??= performance.timeOrigin + performance.now()));
        }).observe(card, { subtree: true, childList: true, characterData: true });
      }
    });

    /** @type {Map<string, {asked: number, stored: number}>} */
    const windows = new Map();
    await Promise.all(
      COMPANIES.map(async (company, index) => {
        await sleep(index * 270);
        const start = performance.now();
        for (let count = 1; count <= WINDOWS; count += 1) {
          await sleep(Math.max(0, start + count * 1000 - performance.now()));
          const asked = performance.timeOrigin + performance.now();
          await database.store(window(company, 100 + count));
          windows.set(`${company} ${(100 + count).toFixed(2)}`, {
            asked,
            stored: performance.timeOrigin + performance.now(),
          });
        }
      }),
    );
    await sleep(1000);
    const shown = await page.evaluate(() => /** @type {any} */ (globalThis).shown);
    const seen = [...windows].filter(([key]) => key in shown);
    const sinceStored = seen.map(([key, { stored }]) => shown[key] - stored);
    const sinceAsked = seen.map(([key, { asked }]) => shown[key] - asked);
    report("windows stored, and shown", `${windows.size}, ${seen.length}`);
    for (const [name, values] of /** @type {const} */ ([
      ["acknowledged (majority, journaled) to shown", sinceStored],
      ["write begun to shown", sinceAsked],
    ])) {
      const figures = [median(values), percentile(values, 0.9), percentile(values, 0.99), Math.max(...values)];
      report(`${name}: median, 90 %, 99 %, longest`, figures.map(ms).join(", "));
    }
    verdict("99 % are shown within 150 ms", seen.length === windows.size && percentile(sinceStored, 0.99) <= 150);
  } finally {
    await browser.close();
    await system.stop();
    await database.close();
  }
}
