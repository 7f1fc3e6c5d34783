// A browser outside that opens the page.
import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../lib/waiting.mjs";
import { companies, outside, pageUrl } from "./system.mjs";

const chromium = process.env.CHROMIUM;

/** Asserts that the page is live: every company has a price that changes, and the browser reports no problem. */
export async function showsEveryCompany() {
  const { page, problems, close } = await visit();
  try {
    await page.goto(pageUrl);
    await eventually("the page is live", 20_000, async () =>
      (await page.locator("#status-text").textContent())?.startsWith("Live"),
    );
    assert.deepEqual(await page.locator(".card h2").allTextContents(), companies);
    for (const company of companies) {
      const price = page.locator(`[data-company="${company}"] .price`);
      const first = await price.textContent();
      await eventually(`${company}'s price changes`, 20_000, async () => (await price.textContent()) !== first);
    }
    assert.deepEqual(problems, []);
  } finally {
    await close();
  }
}

/** A browser with the settings of the page's own tests. */
async function visit() {
  const folder = await mkdtemp(join(tmpdir(), "stockmarket-browser."));
  const program = join(folder, "chromium");
  await writeFile(program, `#!/bin/sh\nexec ${outside.join(" ")} "${chromium}" "$@"\n`);
  await chmod(program, 0o755);
  process.env.CHROMIUM = program;
  const { launch, openPage } = await import("../../vendor-apps/stock-liveview/test/system/browser.js");
  // The flag makes the browser treat the page as it treats one of localhost, which is what a user opens.
  const browser = await launch([`--unsafely-treat-insecure-origin-as-secure=${pageUrl}`]);
  return {
    ...(await openPage(browser)),
    async close() {
      await browser.close();
      await rm(folder, { recursive: true });
    },
  };
}
