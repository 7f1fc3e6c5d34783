/** The overview of many companies in a real browser: found, sorted, shared, and always true about its own freshness. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually, measureSlowness, SYMBOLS, window } from "../support.js";
import { DESKTOP, longestTask, PHONE, TASKS, violations } from "./browser.js";
import { setUpPage } from "./page.js";

/** @typedef {import("playwright-core").Page} Page */

const MANY = 300;
const HUGE = 123_456_789_012_345;
const TINY = 0.00001234;

describe("the overview of many companies", () => {
  const names = [
    ...SYMBOLS,
    ...Array.from({ length: MANY - SYMBOLS.length }, (_, index) => `T${String(index).padStart(3, "0")}`),
  ];
  /** Prices rise with the place in the alphabet. @param {string} name */
  const priceOf = (name) => 100 + names.indexOf(name);

  const { running, visit: open } = setUpPage({
    first: ({ store }) => store(...names.map((name) => window(name, priceOf(name)))),
  });
  /** @type {typeof open} */
  const visit = async (...how) => {
    const opened = await open(...how);
    await opened.page.locator("#overview").waitFor();
    return opened;
  };
  /** @param {Page} page @param {string} company */
  const row = (page, company) => page.locator(`.row[data-company="${company}"]`);
  /** Names of the rows from the first visible one on. @param {Page} page */
  const rowsOf = async (page) => {
    const rows = await page
      .locator("#table-body .row")
      .evaluateAll((elements) =>
        elements.map((element) => ({ name: element.dataset.company, index: Number(element.ariaRowIndex) })),
      );
    return rows.sort((a, b) => a.index - b.index).map(({ name }) => name);
  };
  /** @param {Page} page */
  const focused = (page) => page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).dataset.company);
  /** Lets a test change what the live view tells. @param {(message: any) => any} change */
  const tampered = (change) => (/** @type {Page} */ page) =>
    page.routeWebSocket(/./, (socket) => {
      const server = socket.connectToServer();
      server.onMessage((message) => socket.send(JSON.stringify(change(JSON.parse(String(message))))));
    });

  it("draws only the visible rows, and tells screen readers of all", async () => {
    const { page, problems } = await visit();
    await row(page, "__proto__").waitFor();
    assert.equal(await page.locator("#overview-count").textContent(), `${MANY} companies`);
    assert.equal(await page.locator("#table").getAttribute("aria-rowcount"), String(MANY + 1));
    assert.ok((await page.locator(".row").count()) < 60, "only the visible rows are drawn");
    assert.deepEqual((await rowsOf(page)).slice(0, 3), names.slice(0, 3));
    await page.locator("#table").evaluate((table) => table.scrollTo(0, 1e6));
    await row(page, "T280").waitFor();
    assert.equal(await row(page, "T280").getAttribute("aria-rowindex"), String(MANY + 1));
    assert.equal(await row(page, "T280").locator(".row-price").textContent(), `${priceOf("T280")}.00`);
    assert.ok((await page.locator(".row").count()) < 60, "only the visible rows are drawn");
    const order = await page
      .locator("#table-body .row")
      .evaluateAll((elements) => elements.map((element) => Number(element.ariaRowIndex)));
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
      "the document has the rows in their order",
    );
    assert.deepEqual(problems, []);
  });

  it("is sorted by any column, by mouse and by keyboard, and keeps that in the address", async () => {
    const { page } = await visit();
    const header = page.locator('[role="columnheader"].row-price');
    await header.locator("button").click();
    await eventually(async () => (await rowsOf(page))[0] === "T280", "the highest price first");
    assert.equal(await header.getAttribute("aria-sort"), "descending");
    assert.equal(await page.locator("[aria-sort]").count(), 1);
    assert.equal(new URL(page.url()).search, "?sort=-price");
    await header.locator("button").press("Enter");
    await eventually(async () => (await rowsOf(page))[0] === "__proto__", "the lowest price first");
    assert.equal(await header.getAttribute("aria-sort"), "ascending");

    const { page: shared } = await visit("?sort=-price&q=T00");
    await eventually(
      async () => (await rowsOf(shared)).join() === "T009,T008,T007,T006,T005,T004,T003,T002,T001,T000",
      "as shared",
    );
    assert.equal(await shared.locator("#search").inputValue(), "T00");
  });

  it("finds companies as one types, whatever their symbols are made of", async () => {
    const { page } = await visit();
    await page.keyboard.press("/");
    await page.keyboard.type("brk");
    await eventually(async () => (await rowsOf(page)).join() === "BRK_B,BRK-B,brk.b,BRK.B", "what contains it");
    assert.equal(new URL(page.url()).search, "?q=brk");
    assert.equal(await page.locator("#overview-count").textContent(), `4 of ${MANY} companies`);
    for (const symbol of SYMBOLS) {
      await page.locator("#search").fill(symbol);
      await eventually(async () => (await rowsOf(page)).includes(symbol), symbol);
    }
    await page.locator("#search").fill("nothing like it");
    await page.locator("#no-match").waitFor();
    await page.locator("#search").press("Escape");
    await row(page, "__proto__").waitFor();
    assert.equal(await page.locator("#search").inputValue(), "");
    assert.equal(new URL(page.url()).search, "");
  });

  it("works by keyboard alone, and Back leads to the row that one came from", async () => {
    const { page } = await visit("?sort=-price");
    await page.keyboard.press("/");
    await page.keyboard.press("ArrowDown");
    assert.equal(await focused(page), "T280");
    await page.keyboard.press("ArrowDown");
    assert.equal(await focused(page), "T279");
    await page.keyboard.press("PageDown");
    const below = names.length - 1 - names.indexOf((await focused(page)) ?? "");
    assert.ok(below > 5 && below < 40, `a page down is row ${below}`);
    await page.keyboard.press("PageUp");
    assert.equal(await focused(page), "T279");
    await page.keyboard.press("End");
    assert.equal(await focused(page), "__proto__");
    assert.ok(await row(page, "__proto__").isVisible());
    await page.keyboard.press("ArrowUp");
    assert.equal(await focused(page), "..");
    await page.keyboard.press("Enter");
    await page.locator("#detail h1").waitFor();
    assert.equal(await page.locator("#detail h1").textContent(), "..");
    await page.goBack();
    await page.locator("#table").waitFor();
    assert.equal(await focused(page), "..");
    await page.keyboard.press("Home");
    assert.equal(await focused(page), "T280");
    assert.equal(await page.locator('#table-body [tabindex="0"]').count(), 1, "one row is in the order of Tab");
    assert.equal(new URL(page.url()).search, "?sort=-price");
  });

  it("keeps the order while somebody is in the table", async () => {
    const { page } = await visit("?sort=-updated&q=T0");
    await eventually(async () => (await rowsOf(page)).length > 5, "rows");
    await page.keyboard.press("/");
    await page.keyboard.press("ArrowDown");
    const first = async () => (await rowsOf(page)).slice(0, 10);
    const before = await first();
    const last = /** @type {string} */ (before.at(-1));
    await running.database.store(window(last, priceOf(last)));
    await eventually(
      async () => /just now/.test((await row(page, last).locator(".row-age").textContent()) ?? ""),
      "it is told",
    );
    assert.deepEqual(await first(), before);
    await page.keyboard.press("/");
    await running.database.store(window(last, priceOf(last)));
    await eventually(async () => (await rowsOf(page))[0] === last, "the order is as new as the rows");
  });

  it("tells the change over the time that one chooses, and none where there is no such price", async () => {
    let isThere = false;
    const { page } = await visit("?q=T00", DESKTOP, (page) =>
      page.route("**/past?*", (route) =>
        isThere
          ? route.fulfill({ json: { ago: "1h", at: 0, prices: { T001: priceOf("T001") * 2 } } })
          : route.fulfill({ status: 404, body: "" }),
      ),
    );
    const percent = (/** @type {string} */ name) => row(page, name).locator(".percent").textContent();
    await eventually(async () => (await percent("T001")) === "0.00 %", "the change since the page was opened");
    await page.locator("#change").selectOption("5m");
    await eventually(async () => (await percent("T001")) === "–", "no price is known");
    isThere = true;
    await page.locator("#change").selectOption("1h");
    await eventually(async () => (await percent("T001")) === "−50.00 %", "the change over an hour");
    assert.equal(await percent("T002"), "–");
    assert.equal(new URL(page.url()).search, "?q=T00&change=1h");
    await page.locator("label[for=view-cards]").click();
    const card = page.locator('.card[data-company="T001"]');
    await eventually(async () => /−50\.00 %/.test((await card.locator(".change").textContent()) ?? ""), "cards, too");
    assert.equal(await card.locator(".since").textContent(), "over an hour");
  });

  it("keeps its rows, dimmed and legible, while the prices are not current, and says why", async () => {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      for (const view of ["table", "cards"]) {
        const { page, close } = await visit(
          `?view=${view}&q=T00`,
          { ...DESKTOP, colorScheme, reducedMotion: "reduce" },
          tampered((message) => (message.type === "alive" ? { ...message, isCurrent: false } : message)),
        );
        await eventually(
          async () => (await page.locator("html").getAttribute("data-state")) === "stale",
          "it is not current",
        );
        await page.locator('[data-company="T001"]').waitFor();
        assert.match((await page.locator("#notice").textContent()) ?? "", /cannot reach the database/);
        assert.deepEqual(await violations(page), [], `${colorScheme} ${view}`);
        await close();
      }
    }
  });

  it("says what the status means, to keyboards too", async () => {
    await running.database.store(window("T001", priceOf("T001")));
    const { page } = await visit();
    await eventually(async () => (await page.locator("#status-text").textContent()) === "Live", "it is live");
    await page.locator("#status").press("Enter");
    await page.locator("#status-more").waitFor();
    assert.match((await page.locator("#status-why").textContent()) ?? "", /as soon as it is stored/);
    await running.database.store(window("T001", priceOf("T001")));
    await eventually(async () => /s$/.test((await page.locator("#fact-delay").textContent()) ?? ""), "the delay");
    assert.match((await page.locator("#fact-last").textContent()) ?? "", /^\d\d:\d\d:\d\d [A-Z]/);
    assert.match((await page.locator("#clock").textContent()) ?? "", /^\d\d:\d\d:\d\d [A-Z].*from window to page/);
    await page.keyboard.press("Escape");
    await page.locator("#status-more").waitFor({ state: "hidden" });
  });

  it("says what it does not show, and that there is a new version", async () => {
    const { page } = await visit(
      "",
      DESKTOP,
      tampered((message) =>
        message.type === "alive" ? { ...message, hiddenCompanies: 5, version: "another", lagMs: 1500 } : message,
      ),
    );
    await eventually(
      async () =>
        (await page.locator("#overview-count").textContent()) === `${MANY} companies. 5 more companies are not shown`,
      "it says so",
    );
    assert.match((await page.locator("#clock").textContent()) ?? "", /1\.5 s behind the database/);
    const reloaded = page.waitForEvent("load");
    await page.locator("#reload").click();
    await reloaded;
  });

  it("reloads itself for a new version on a screen on the wall, but not again and again", async () => {
    let loads = 0;
    const { page } = await visit("?kiosk", DESKTOP, async (tab) => {
      tab.on("load", () => (loads += 1));
      await tampered((message) => (message.type === "alive" ? { ...message, version: "another" } : message))(tab);
    });
    await eventually(() => loads === 2, "it reloads");
    await row(page, "__proto__").waitFor();
    const told = page.waitForEvent("websocket", { timeout: 1500 }).catch(() => "nothing");
    assert.equal(await told, "nothing", "it stays");
    assert.equal(loads, 2);
  });

  it("pauses: prices stay, updates are counted, and come afterwards", async () => {
    const { page } = await visit("?q=T00");
    const price = row(page, "T005").locator(".row-price");
    await eventually(async () => (await price.textContent()) === `${priceOf("T005")}.00`, "the price");
    await page.locator("#table").click({ position: { x: 5, y: 5 } });
    await page.keyboard.press("p");
    await running.database.store(window("T005", 1), window("T005", 2));
    await eventually(
      async () => /^Paused, [12] updates? waits?$/.test((await page.locator("#pause-text").textContent()) ?? ""),
      "updates wait",
    );
    assert.equal(await page.locator("#pause").getAttribute("aria-pressed"), "true");
    assert.equal(await price.textContent(), `${priceOf("T005")}.00`);
    await page.locator("#pause").click();
    await eventually(async () => (await price.textContent()) === "2.00", "the newest price");
    assert.equal(await page.locator("#pause-text").textContent(), "Pause");
    await running.database.store(window("T005", priceOf("T005")));
  });

  it("marks companies beyond a threshold, also after it was opened again", async () => {
    const { page } = await visit("?q=T01");
    await page.locator("#set-alert").click();
    await page.locator("#alert-company").fill("T010");
    await page.locator("#alert-above").fill("50.5");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#alert-list .alert-text").textContent(), "T010 above 50.5");
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press("Escape");
    await eventually(
      async () => (await row(page, "T010").locator(".mark").textContent()) === "above threshold",
      "the mark",
    );
    assert.equal(await row(page, "T011").locator(".mark").textContent(), "");
    await page.reload();
    await eventually(
      async () => (await row(page, "T010").locator(".mark").textContent()) === "above threshold",
      "the mark",
    );
    await page.locator("#set-alert").click();
    await page.locator("#alert-list button").click();
    await page.locator("#alerts-close").click();
    await eventually(async () => (await row(page, "T010").locator(".mark").textContent()) === "", "no mark");
  });

  it("goes through all companies by itself on a screen on the wall", async () => {
    const { page } = await visit("?kiosk");
    await row(page, "__proto__").waitFor();
    assert.equal(await page.locator(".top").isVisible(), false);
    const edges = () =>
      page.locator("#table").evaluate((table) => {
        const { top, bottom } = table.getBoundingClientRect();
        const head = /** @type {Element} */ (table.querySelector(".head")).getBoundingClientRect().height;
        const whole = [...table.querySelectorAll("#table-body .row")].filter((element) => {
          const place = element.getBoundingClientRect();
          return place.top >= top + head - 2 && place.bottom <= bottom + 2;
        });
        const indices = whole.map((element) => Number(element.ariaRowIndex)).sort((a, b) => a - b);
        return { first: indices[0], last: indices[indices.length - 1] };
      });
    const { first, last } = await edges();
    assert.equal(first, 2);
    await eventually(async () => (await edges()).first > first, "the next page");
    const next = (await edges()).first;
    assert.ok(next <= last + 1 && next > last - 3, `row ${next} follows row ${last}`);
  });

  it("does no long work while 50 windows a second close, whatever one looks at", async () => {
    let at = 0;
    const next = () => window(names[(at += 7) % MANY], 100 + Math.random());
    for (const address of ["?sort=-change", "?view=cards"]) {
      const { page } = await visit(address);
      await page.locator("[data-company]").first().waitFor();
      await running.browser.startTracing(page, { categories: TASKS });
      const slowness = measureSlowness();
      await page.mouse.move(600, 500);
      for (let tick = 0; tick < 50; tick += 1) {
        await Promise.all([
          running.database.store(...Array.from({ length: 5 }, next)),
          tick % 5 === 0 && page.mouse.wheel(0, 500),
          page.waitForTimeout(100),
        ]);
      }
      const { cpu } = longestTask(JSON.parse(String(await running.browser.stopTracing())));
      // By its processor time: other programs run on this machine, too.
      assert.ok(cpu > 0 && cpu < 100 * slowness(), `${address}: a task of ${cpu} ms`);
    }
  });

  it("has no accessibility violations (axe-core) as a table, and fits a phone", async () => {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      for (const size of [DESKTOP, PHONE]) {
        for (const address of ["?sort=-change", "?view=cards&q=T00", "?q=nothing", "?kiosk"]) {
          const { page, close } = await visit(address, { ...size, colorScheme, reducedMotion: "reduce" });
          const what = `${colorScheme} ${size.viewport.width} ${address}`;
          assert.deepEqual(await violations(page), [], what);
          const { scroll, visible } = await page.evaluate(() => ({
            scroll: document.documentElement.scrollWidth,
            visible: document.documentElement.clientWidth,
          }));
          assert.ok(scroll <= visible, `${what}: ${scroll} px wide on ${visible}`);
          await close();
        }
      }
    }
  });

  it("neither cuts huge, tiny and precise numbers nor grows with them", async () => {
    await running.database.store(
      ...[HUGE, TINY, 1 / 3, 999_999_999.99, 1e300].map((price, index) =>
        window(`N${index}`, price, { minPrice: price / 2, maxPrice: price * 2, buy: { count: 1e12, avgPrice: price } }),
      ),
    );
    for (const size of [DESKTOP, PHONE]) {
      for (const view of ["table", "cards"]) {
        const { page } = await visit(`?view=${view}&q=N`, size);
        await page.locator('[data-company="N0"]').waitFor();
        const shown = view === "table" ? ".row-price" : ".price";
        const priceText = (/** @type {string} */ name) => page.locator(`[data-company="${name}"] ${shown}`);
        assert.equal(await priceText("N0").textContent(), "123.46T");
        assert.equal(await priceText("N0").getAttribute("title"), "123456789012345");
        assert.equal(await priceText("N1").textContent(), "0.00001234");
        assert.equal(await priceText("N3").textContent(), "999,999,999.99");
        const cut = await page
          .locator(`.row > :visible, .card ${shown}, .card dd`)
          .evaluateAll((elements) =>
            elements
              .filter((element) => element.scrollWidth > element.clientWidth + 1)
              .map((element) => `${element.className} ${element.textContent}`),
          );
        assert.deepEqual(cut, [], `${view} ${size.viewport.width}`);
        const { scroll, visible } = await page.evaluate(() => ({
          scroll: document.documentElement.scrollWidth,
          visible: document.documentElement.clientWidth,
        }));
        assert.ok(scroll <= visible, `${view}: ${scroll} px wide on ${visible}`);
      }
    }
    await running.database.collection.deleteMany({ company: /^N\d/ });
  });
});
