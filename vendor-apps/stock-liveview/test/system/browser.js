/**
 * A real Chromium, kept from everything but the system under test.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
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

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core finds wrong with a page for people with disabilities. @param {import("playwright-core").Page} page */
export async function violations(page) {
  // The page's own policy keeps foreign scripts out; this way in is the debugger's.
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: AXE });
  const { result } = await client.send("Runtime.evaluate", {
    expression:
      "axe.run(document, { resultTypes: ['violations'] }).then((found) => JSON.stringify(found.violations.map((one) => [one.id, ...one.nodes.map((node) => node.html + node.failureSummary)])))",
    awaitPromise: true,
  });
  return JSON.parse(result.value);
}

/** Categories of a trace that longestTask understands. */
export const TASKS = ["toplevel", "devtools.timeline"];

/** The longest task of the page's main thread, in ms. @param {{traceEvents: any[]}} trace */
export function longestTask({ traceEvents }) {
  const scripts = traceEvents.filter(({ name }) => name === "FunctionCall");
  const main = scripts[0] ?? {};
  const tasks = traceEvents.filter(
    ({ name, pid, tid }) => /RunTask$/.test(name) && pid === main.pid && tid === main.tid,
  );
  return {
    cpu: Math.max(0, ...tasks.map(({ tdur = 0 }) => tdur)) / 1000,
    wall: Math.max(0, ...tasks.map(({ dur = 0 }) => dur)) / 1000,
  };
}
