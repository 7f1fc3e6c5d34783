/** The page in a real browser, through the load balancer, from a real replica set. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { eventually, SYMBOLS, window } from "../support.js";
import { DESKTOP, launch, openPage, PHONE, violations } from "./browser.js";
import { startOriginal } from "./original-liveview.js";
import { setUpPage, statusIs } from "./page.js";

/** @typedef {import("playwright-core").Page} Page */

/** What an image of an element looks like, to tell whether it changed. @param {Page} page @param {string} selector */
const picture = async (page, selector) => (await page.locator(selector).first().screenshot()).toString("base64");

/** Points of a company's chart, as its label tells. @param {Page} page @param {string} company */
async function chartPoints(page, company) {
  const label = await page.locator(`[data-company="${company}"] .chart`).getAttribute("aria-label");
  return Number(label?.match(/last (\d+) windows/)?.[1]);
}

describe("the page", () => {
  const { running, visit } = setUpPage({
    async each({ collection, store }) {
      await collection.deleteMany({});
      const ago = (/** @type {number} */ seconds) => new Date(Date.now() - seconds * 1000);
      // So far apart that they are not quiet for 100 s, however slow the test is.
      const past = (/** @type {string} */ company, /** @type {number} */ base) =>
        Array.from({ length: 30 }, (_, index) =>
          window(company, base + Math.sin(index / 3) * 5, { closedAt: ago(20 * (29 - index)) }),
        );
      await store(...past("MSFT", 300), ...past("TSLA", 200));
    },
  });
  /** @param {Page} page @param {string} company */
  const card = (page, company) => page.locator(`[data-company="${company}"]`);
  /** @param {import("playwright-core").Locator} place */
  const shownPrice = async (place) => (await place.locator(".price").textContent()) ?? "";

  it("shows a card for every company, and which live view serves it", async () => {
    await running.database.store(window("MSFT", 310.126), window("MSFT", 309.5));
    const { page } = await visit();
    await statusIs(page, "Live");
    assert.deepEqual(await page.locator(".card h2").allTextContents(), ["MSFT", "TSLA"]);
    const msft = card(page, "MSFT");
    await eventually(async () => (await shownPrice(msft)) === "309.50", "the newest average");
    assert.equal(await msft.locator(".change-text").textContent(), "0.00 (0.00 %)");
    assert.equal(await msft.locator(".since").textContent(), "since opened");
    assert.equal(await msft.locator('[data-fact="buy"]').textContent(), "310.00");
    assert.equal(await msft.locator('[data-fact="sell"]').textContent(), "309.00");
    assert.equal(await msft.locator('[data-fact="low"]').textContent(), "289.50");
    assert.equal(await msft.locator('[data-fact="high"]').textContent(), "329.50");
    assert.match((await msft.locator(".age").textContent()) ?? "", /just now|\d s ago/);
    assert.match((await page.locator("#server").textContent()) ?? "", /^Served by liveview-[12]$/);
    assert.match((await page.locator("#overview-about").textContent()) ?? "", /1,000 trades/);
    assert.equal(await page.locator("#overview-count").textContent(), "2 companies");
    await running.database.store(window("MSFT", 308.87), window("MSFT", 308.88));
    await eventually(async () => (await shownPrice(msft)) === "308.88", "the newest average");
    assert.equal(await msft.locator(".change-text").textContent(), "−0.62 (−0.20 %)");
    assert.equal(await msft.locator(".change").getAttribute("data-direction"), "down");
  });

  it("updates: prices change, charts grow, new companies appear in order", async () => {
    const { page } = await visit();
    await statusIs(page, "Live");
    await eventually(async () => (await chartPoints(page, "MSFT")) === 30, "its chart");
    const before = await picture(page, '[data-company="MSFT"] .chart');
    await running.database.store(window("MSFT", 320));
    await eventually(async () => (await shownPrice(card(page, "MSFT"))) === "320.00", "the new price");
    await eventually(async () => (await chartPoints(page, "MSFT")) === 31, "its chart, with no point twice");
    assert.notEqual(await picture(page, '[data-company="MSFT"] .chart'), before, "the chart's picture changes");
    await running.database.store(window("AAPL", 150), window("NVDA", 900));
    await eventually(async () => (await page.locator(".card").count()) === 4, "two more cards");
    assert.deepEqual(await page.locator(".card h2").allTextContents(), ["AAPL", "MSFT", "NVDA", "TSLA"]);
    assert.deepEqual(await page.locator(".rhythm-name").allTextContents(), ["AAPL", "MSFT", "NVDA", "TSLA"]);
  });

  it("fits a phone", async () => {
    for (const address of ["", "#MSFT"]) {
      const { page } = await visit(address, PHONE);
      await statusIs(page, "Live");
      const { scroll, visible } = await page.evaluate(() => ({
        scroll: document.documentElement.scrollWidth,
        visible: document.documentElement.clientWidth,
      }));
      assert.ok(scroll <= visible, `${address || "overview"}: ${scroll} px wide on ${visible}`);
      const targets = await page
        .locator("a:visible:not(.skip, h2 a), label:visible, button:visible")
        .evaluateAll((elements) => elements.map((element) => element.getBoundingClientRect().height));
      assert.ok(Math.min(...targets) >= 20, `targets are ${targets.map(Math.round)} px high`);
    }
  });

  it("follows the preferred colour scheme, also when it changes", async () => {
    const { page } = await visit("", { ...DESKTOP, colorScheme: "dark" });
    await statusIs(page, "Live");
    const brightness = () =>
      page.evaluate(() => {
        const [red] = getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g) ?? [];
        return Number(red);
      });
    assert.ok((await brightness()) < 40);
    const before = await picture(page, '[data-company="MSFT"] .chart');
    await page.emulateMedia({ colorScheme: "light" });
    assert.ok((await brightness()) > 220);
    assert.notEqual(await picture(page, '[data-company="MSFT"] .chart'), before, "charts follow");
  });

  it("says when one company is quiet, and when all are", async () => {
    await running.database.collection.deleteMany({});
    await running.database.store(window("QUIET", 5), window("MSFT", 300));
    const { page } = await visit();
    await statusIs(page, "Live");
    const age = card(page, "QUIET").locator(".age");
    // By when it arrived, not by what the consumer's clock says.
    await eventually(async () => {
      await running.database.store(window("MSFT", 300, { closedAt: new Date(0) }));
      return /^Quiet, last \d\d s ago/.test((await age.textContent()) ?? "");
    }, "QUIET is quiet");
    assert.ok(await card(page, "QUIET").evaluate((element) => element.classList.contains("quiet")));
    assert.ok(!(await card(page, "MSFT").evaluate((element) => element.classList.contains("quiet"))));
    assert.equal(await page.locator("#notice").isVisible(), false);
    await running.database.collection.deleteMany({ company: "MSFT" });
    await statusIs(page, "Stale, prices of");
    assert.match((await page.locator("#notice").textContent()) ?? "", /no company has had a window/);
  });

  it("waits for the first window, and says why", async () => {
    await running.database.collection.deleteMany({});
    const { page, problems } = await visit();
    await page.locator("#waiting").waitFor();
    assert.match(
      (await page.locator("#waiting").innerText()) ?? "",
      /Waiting for the first window[\s\S]*full window of trades yet/,
    );
    await statusIs(page, "Waiting");
    assert.deepEqual(await violations(page), []);
    await running.database.store(window("MSFT", 1));
    await card(page, "MSFT").waitFor();
    assert.equal(await page.locator("#waiting").isVisible(), false);
    assert.deepEqual(problems, []);
  });

  it("shows averages that have only company and avgPrice", async () => {
    await running.database.collection.deleteMany({});
    await running.database.store({ company: "BARE", avgPrice: 12.344 }, { company: "BARE", avgPrice: 12.5 });
    const { page, problems } = await visit();
    await card(page, "BARE").waitFor();
    assert.equal(await shownPrice(card(page, "BARE")), "12.50");
    assert.equal(await card(page, "BARE").locator(".sides").isVisible(), false);
    assert.equal(await card(page, "BARE").locator(".spread").isVisible(), false);
    await card(page, "BARE").locator("a").click();
    await page.locator(".plot canvas").waitFor();
    const change = page.locator("#detail .change-text");
    await eventually(
      async () => (await change.textContent()) === "+0.16 (+1.26 %)",
      "the change against the last window",
    );
    assert.deepEqual(problems, []);
  });

  for (const [device, options] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    it(`shows companies with any symbol, each with a view and a history of its own: ${device}`, async () => {
      await running.database.collection.deleteMany({});
      await running.database.store(...SYMBOLS.map((symbol, index) => window(symbol, 100 + index)));
      const { page, problems } = await visit("?view=cards", options);
      await eventually(async () => (await page.locator(".card").count()) === SYMBOLS.length, "all cards");
      assert.deepEqual(await page.locator(".card h2").allTextContents(), SYMBOLS);
      assert.deepEqual(await page.locator(".rhythm-name").allTextContents(), SYMBOLS);
      const cut = await page
        .locator(".card h2, .rhythm-name")
        .evaluateAll((names) =>
          names.filter((name) => name.scrollWidth > name.clientWidth).map((name) => name.outerHTML),
        );
      assert.deepEqual(cut, [], "no symbol is cut off");
      for (const [index, symbol] of SYMBOLS.entries()) {
        assert.equal(await shownPrice(card(page, symbol)), `${100 + index}.00`, symbol);
        await card(page, symbol).locator("a").click();
        await page.locator("#detail h1").waitFor();
        assert.equal(await page.locator("#detail h1").textContent(), symbol);
        assert.equal(await shownPrice(page.locator("#detail")), `${100 + index}.00`, symbol);
        assert.equal(await page.evaluate(() => document.activeElement?.textContent), symbol, "the view has the focus");
        const { scroll, visible } = await page.evaluate(() => ({
          scroll: document.documentElement.scrollWidth,
          visible: document.documentElement.clientWidth,
        }));
        assert.ok(scroll <= visible, `${symbol}: ${scroll} px wide on ${visible}`);
        await page.locator("label", { hasText: "15 min" }).click();
        await eventually(
          async () => (await page.locator("#detail-note").textContent()) === "1 window in this range.",
          `the history of ${symbol}`,
        );
        await page.locator(".back").click();
        await page.locator("#overview").waitFor();
      }
      assert.deepEqual(problems, []);
    });
  }

  it("takes a symbol in the address as a person types it", async () => {
    await running.database.store(...SYMBOLS.map((symbol, index) => window(symbol, 100 + index)));
    for (const [index, symbol] of SYMBOLS.entries()) {
      const { page } = await visit(`#${symbol}`);
      await eventually(async () => (await shownPrice(page.locator("#detail"))) === `${100 + index}.00`, symbol);
      assert.equal(await page.locator("#detail h1").textContent(), symbol);
      await page.context().close();
    }
  });

  it("shows markup in a company's name as text", async () => {
    const name = "<img src=x onerror=alert(1)>&amp;";
    await running.database.store(window(name, 1));
    const { page, problems } = await visit();
    const heading = page.locator(".card h2", { hasText: "onerror" });
    await heading.waitFor();
    assert.equal(await heading.textContent(), name);
    assert.equal(await page.locator(".card img").count(), 0);
    await heading.locator("a").click();
    await page.locator("#detail h1").waitFor();
    assert.equal(await page.locator("#detail h1").textContent(), name);
    assert.deepEqual(problems, []);
  });

  it("reconnects to the other live view within seconds, with its chart and no point twice", async () => {
    const { page } = await visit();
    await statusIs(page, "Live");
    const serving = Number((await page.locator("#server").textContent())?.at(-1));
    const liveview = running.system.liveviews[serving - 1];
    await liveview.stop("SIGKILL");
    await running.database.store(window("MSFT", 333));
    await eventually(async () => (await shownPrice(card(page, "MSFT"))) === "333.00", "it is live again", 3000);
    assert.equal(await page.locator("#server").textContent(), `Served by liveview-${3 - serving}`);
    await eventually(async () => (await chartPoints(page, "MSFT")) === 31, "its chart, with no point twice");
  });

  it("notices a frozen live view within 5 s", async () => {
    const { page } = await visit();
    await statusIs(page, "Live");
    const serving = Number((await page.locator("#server").textContent())?.at(-1));
    const liveview = running.system.liveviews[serving - 1];
    liveview.freeze();
    try {
      await running.database.store(window("MSFT", 334));
      await eventually(async () => (await shownPrice(card(page, "MSFT"))) === "334.00", "it is live again", 5000);
      await eventually(async () => (await chartPoints(page, "MSFT")) === 31, "its chart, with no point twice");
    } finally {
      liveview.thaw();
    }
  });

  it("says that it is reconnecting, keeps its prices, and reconnects by itself", async () => {
    const { page } = await visit();
    await statusIs(page, "Live");
    await Promise.all(running.system.liveviews.map((liveview) => liveview.stop()));
    await statusIs(page, "Reconnecting, prices of");
    assert.equal(await page.locator("#status").getAttribute("data-state"), "reconnecting");
    assert.equal(await page.locator(".card").count(), 2, "the cards stay");
    await Promise.all(running.system.liveviews.map((liveview) => liveview.start()));
    await statusIs(page, "Live");
    await running.database.store(window("MSFT", 335));
    await eventually(async () => (await shownPrice(card(page, "MSFT"))) === "335.00", "it is live again");
    await eventually(async () => (await chartPoints(page, "MSFT")) === 31, "its chart, with no point twice");
  });

  it("has no accessibility violations (axe-core), in any view, size or colour scheme", async () => {
    await running.database.store(window("OLD", 1, { closedAt: new Date(Date.now() - 60_000) }));
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      for (const size of [DESKTOP, PHONE]) {
        for (const address of ["", "#MSFT", "#OLD"]) {
          await running.database.store(window("MSFT", 300));
          const { page, close } = await visit(address, { ...size, colorScheme, reducedMotion: "reduce" });
          await statusIs(page, "Live");
          // Its prices come a moment after that.
          await page.locator("h1:visible").waitFor();
          assert.deepEqual(await violations(page), [], `${colorScheme} ${size.viewport.width} ${address}`);
          await close();
        }
      }
    }
  });

  it("works by keyboard alone", async () => {
    const { page } = await visit();
    await statusIs(page, "Live");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "MSFT");
    await page.keyboard.press("Enter");
    await page.locator("#detail h1").waitFor();
    await eventually(
      () => page.evaluate(() => document.activeElement?.id === "detail-title"),
      "the heading has the focus",
    );
  });

  it("loads nothing from other hosts, logs nothing, and does not shift while it loads", async () => {
    for (const address of ["", "#MSFT"]) {
      const { page, problems, hosts } = await visit(address);
      await statusIs(page, "Live");
      await running.database.store(window("MSFT", 300 + Math.random()));
      const shift = await page.evaluate(
        () =>
          new Promise((resolve) => {
            let sum = 0;
            new PerformanceObserver((list) => {
              for (const entry of list.getEntries()) {
                const { value, hadRecentInput } = /** @type {any} */ (entry);
                if (!hadRecentInput) sum += value;
              }
            }).observe({ type: "layout-shift", buffered: true });
            setTimeout(() => resolve(sum), 1500);
          }),
      );
      assert.ok(Number(shift) < 0.01, `cumulative layout shift ${shift}`);
      assert.deepEqual(problems, []);
      assert.deepEqual([...hosts], [new URL(running.system.url).host]);
    }
  });

  it("shows the same beside the original live view, whichever of the two tells it", async (test) => {
    const [, other] = running.system.liveviews;
    await other.stop();
    const original = await startOriginal(
      Number(new URL(running.system.liveviewUrls[1]).port),
      running.database.collection,
    );
    test.after(() => original.stop().then(() => other.start()));
    /** @type {Map<string, Page>} */
    const pages = new Map();
    const meetBoth = async () => {
      const { page } = await visit();
      // The load balancer also leads to the original's own page, at once or, after its own page that tells
      // of no live view and loads again, a little later.
      const isOurs = async () =>
        (await page
          .locator("#status-text")
          .count()
          .catch(() => 0)) > 0;
      const isOriginal = async () => (await page.title().catch(() => "")) === "original";
      await eventually(async () => (await isOurs()) || (await isOriginal()), "the page of a live view").catch(
        async (error) => {
          throw new Error(`${error.message}; it is: ${await page.content()}`);
        },
      );
      if (await isOriginal()) return false;
      await statusIs(page, "Live");
      pages.set((await page.locator("#server").textContent()) ?? "", page);
      return pages.size === 2;
    };
    await eventually(meetBoth, "a page of ours meets each live view", 60_000);
    assert.deepEqual([...pages.keys()].toSorted(), ["", "Served by liveview-1"], "the original tells no name");
    await running.database.store(window("MSFT", 321.5), window("NEW", 5));
    for (const page of pages.values()) {
      await eventually(async () => (await shownPrice(card(page, "MSFT"))) === "321.50", "the new price");
      await card(page, "NEW").waitFor();
      await eventually(async () => (await chartPoints(page, "MSFT")) > 10, "its chart, from the one that has it");
    }
    await running.database.collection.deleteMany({ company: "NEW" });
    for (const page of pages.values()) await card(page, "NEW").waitFor({ state: "detached" });
  });

  it("the original's page works unchanged with this server", async () => {
    // A page that the test makes up counts as one from afar, which this Chromium keeps from local addresses.
    const lenient = await launch(["--disable-features=LocalNetworkAccessChecks"]);
    const { page, problems } = await openPage(lenient);
    // The original's markup as far as its script needs it, and what its script does, told in our words.
    const html =
      '<!doctype html><title>original</title><script src="/script.js"></script><div id="prices">No Stock Prices Found!</div>';
    await page.route(`${running.system.url}/`, (route) => route.fulfill({ contentType: "text/html", body: html }));
    await page.route(`${running.system.url}/script.js`, async (route) =>
      route.fulfill({
        contentType: "text/javascript",
        body: await readFile(new URL("./original-page.js", import.meta.url)),
      }),
    );
    await page.goto(`${running.system.url}/`);
    await eventually(async () => (await page.locator("#prices h2").count()) === 2, "both companies");
    await running.database.store(window("AAPL", 150.5));
    await eventually(async () => /AAPL150\.5/.test((await page.locator("#prices").textContent()) ?? ""), "a new one");
    assert.deepEqual(await page.locator("#prices h2").allTextContents(), ["AAPL", "MSFT", "TSLA"]);
    assert.deepEqual(
      problems.filter((problem) => problem.startsWith("error")),
      [],
      "it knows every message",
    );
    await lenient.close();
  });
});
