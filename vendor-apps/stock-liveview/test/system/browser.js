/**
 * A real Chromium, kept from everything but the system under test.
 */
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

/** What `scripts/install browser` provides. */
const CHROMIUM = fileURLToPath(new URL("../../../../.local/tools/bin/chromium", import.meta.url));

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
export const DESKTOP = { viewport: { width: 1280, height: 860 } };

/** @param {string[]} [flags] */
export function launch(flags = []) {
  return chromium.launch({ executablePath: process.env.CHROMIUM || CHROMIUM, args: [...FLAGS, ...flags] });
}

/**
 * A page that remembers what went wrong and whom it asked.
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function openPage(browser, options = DESKTOP) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  /** @type {string[]} */
  const problems = [];
  /** @type {Set<string>} */
  const hosts = new Set();
  page.on("console", (message) => problems.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  page.on("websocket", (socket) => hosts.add(new URL(socket.url()).host));
  return { page, problems, hosts, close: () => context.close() };
}
