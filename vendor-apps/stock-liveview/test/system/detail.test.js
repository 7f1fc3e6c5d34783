/** The view of one company in a real browser, through the load balancer, from a real replica set. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { beforeEach, describe, it } from "node:test";
import { eventually, window } from "../support.js";
import { DESKTOP, PHONE, violations } from "./browser.js";
import { past, setUpPage, statusIs } from "./page.js";

/** @typedef {import("playwright-core").Page} Page */

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** What an image of an element looks like, to tell whether it changed. @param {Page} page @param {string} selector */
const picture = async (page, selector) => (await page.locator(selector).first().screenshot()).toString("base64");
/** @param {Page} page @param {string} selector */
const text = async (page, selector) => (await page.locator(selector).first().textContent()) ?? "";
/** @param {Page} page @param {string} name  of an attribute of the chart */
const plotValue = async (page, name) => (await page.locator(".plot").getAttribute(name)) ?? "";
/** What the address says. @param {Page} page */
function address(page) {
  const { search, hash } = new URL(page.url());
  return search + hash;
}
/** @param {Page} page @param {RegExp} pattern */
const noteIs = (page, pattern) =>
  eventually(async () => pattern.test(await text(page, "#detail-note")), `the note is like ${pattern}`);
/** The times of the x axis that are visible: of the first and the last window that the cursor reaches. @param {Page} page */
async function ends(page) {
  await page.locator(".plot").focus();
  await page.keyboard.press("Home");
  const first = await plotValue(page, "aria-valuetext");
  await page.keyboard.press("End");
  return [first.slice(0, 8), (await plotValue(page, "aria-valuetext")).slice(0, 8)];
}

/**
 * Whether the chart has a line in the middle of its width: a pixel of the company's colour.
 * @param {Page} page @param {number} share  of the width
 */
function hasLineAt(page, share) {
  return page.evaluate((at) => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector(".plot canvas"));
    const over = /** @type {HTMLElement} */ (document.querySelector(".u-over"));
    const unit = canvas.width / canvas.clientWidth;
    const x = Math.round((over.offsetLeft + over.clientWidth * at) * unit);
    const detail = /** @type {HTMLElement} */ (document.querySelector("#detail"));
    const name = getComputedStyle(detail).getPropertyValue("--colour").trim();
    const wanted = [1, 3, 5].map((from) => Number.parseInt(name.slice(from, from + 2), 16));
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const { data } = context.getImageData(x, 0, 1, canvas.height);
    for (let index = 0; index < data.length; index += 4) {
      if (wanted.every((value, part) => Math.abs(data[index + part] - value) < 40)) return true;
    }
    return false;
  }, share);
}

describe("the view of one company", () => {
  const { visit, store, collection } = setUpPage({ each: ({ collection: own }) => own.deleteMany({}) });

  beforeEach(async () => {
    const windows = (/** @type {string} */ company, /** @type {number} */ base) =>
      Array.from({ length: 60 }, (_, index) =>
        past(company, base + Math.sin(index / 3) * 5, 20 * SECOND * (59 - index)),
      );
    await store(...windows("MSFT", 300), ...windows("TSLA", 200), ...windows("^GSPC", 5000));
  });

  /** @param {string} address @param {import("playwright-core").BrowserContextOptions} [options] */
  const visitChart = async (address, options) => {
    const opened = await visit(address, options);
    await opened.page.locator(".plot canvas").waitFor();
    await eventually(async () => Number(await plotValue(opened.page, "aria-valuemax")) > 0, "the chart has windows");
    return opened;
  };

  it("has a link that can be shared, and is live", async () => {
    const { page } = await visit();
    await statusIs(page, "Live");
    await page.locator('a[href="#TSLA"]').click();
    await page.locator("#detail h1").waitFor();
    assert.equal(new URL(page.url()).hash, "#TSLA");
    const { page: shared } = await visitChart("#TSLA");
    assert.equal(await text(shared, "#detail h1"), "TSLA");
    await store(window("TSLA", 222.22));
    await eventually(async () => (await text(shared, "#detail .price")) === "222.22", "it is live");
    assert.match(await text(shared, "#detail .change-text"), /^\+\d+\.\d\d \(/, "the change since the last window");
    assert.match(await shared.title(), /^TSLA 222.22/);
    await page.locator(".back").click();
    await page.locator("#overview").waitFor();
    assert.equal(await page.locator("#detail").isVisible(), false);
  });

  it("shows the chart's values by mouse and by keyboard", async () => {
    await store(window("MSFT", 345.67));
    const { page } = await visitChart("#MSFT");
    const plot = page.locator(".plot");
    const box = (await page.locator(".u-over").boundingBox()) ?? assert.fail("no chart");
    await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2);
    await page.locator(".tip").waitFor();
    assert.match((await page.locator(".tip").innerText()).replaceAll("\n", " "), /Average \d+\.\d\d Buy .* Sell /);
    await page.mouse.move(0, 0);
    await page.locator(".tip").waitFor({ state: "hidden" });

    await plot.focus();
    await page.keyboard.press("End");
    assert.match(await plotValue(page, "aria-valuetext"), /Average 345\.67, Buy 346\.17, Sell 345\.17/);
    const now = async () => Number(await plotValue(page, "aria-valuenow"));
    const last = await now();
    assert.equal(last, Number(await plotValue(page, "aria-valuemax")));
    await page.keyboard.press("ArrowLeft");
    assert.equal(await now(), last - 1);
    await page.keyboard.press("PageDown");
    assert.equal(await now(), last - 11, "PageDown goes to earlier windows");
    await page.keyboard.press("PageUp");
    assert.equal(await now(), last - 1, "PageUp goes to later windows");
    await page.keyboard.press("Home");
    assert.equal(await now(), 0);
    await page.keyboard.press("Escape");
    await page.locator(".tip").waitFor({ state: "hidden" });
  });

  it("keeps the window that the keyboard has selected while new ones arrive", async () => {
    const { page } = await visitChart("#MSFT");
    await page.locator(".plot").focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    const selected = await plotValue(page, "aria-valuetext");
    await store(window("MSFT", 333));
    await eventually(async () => (await text(page, "#detail .price")) === "333.00", "the new price");
    assert.equal(await plotValue(page, "aria-valuetext"), selected);
  });

  it("shows longer ranges, and zooms into one by mouse", async () => {
    const { page } = await visitChart("#MSFT");
    await page.locator("label", { hasText: "1 h" }).click();
    await noteIs(page, /^60 windows in this range\.$/);
    const whole = await picture(page, ".plot");
    const box = (await page.locator(".plot .u-over").boundingBox()) ?? assert.fail("no chart");
    await page.mouse.move(box.x + box.width * 0.3, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
    await page.mouse.up();
    await page.locator(".reset").waitFor();
    assert.notEqual(await picture(page, ".plot"), whole);
    await page.locator(".reset").click();
    await page.locator(".reset").waitFor({ state: "hidden" });
  });

  it("zooms and moves by keyboard", async () => {
    const { page } = await visitChart("?range=15m#MSFT");
    const reset = page.locator(".reset");
    await page.locator(".plot").focus();
    await page.keyboard.press("+");
    await reset.waitFor();
    const zoomed = await picture(page, ".plot");
    await page.keyboard.press("Shift+ArrowLeft");
    assert.notEqual(await picture(page, ".plot"), zoomed, "Shift with an arrow moves the part");
    await page.keyboard.press("Shift+ArrowRight");
    assert.equal(await picture(page, ".plot"), zoomed, "and back");
    await page.keyboard.press("Home");
    // The readout is there only while its window is visible: the part has followed the cursor.
    await page.locator(".tip").waitFor();
    await page.keyboard.press("-");
    await reset.waitFor({ state: "hidden" });
    await page.keyboard.press("+");
    await page.keyboard.press("+");
    await reset.waitFor();
    await page.keyboard.press("0");
    await reset.waitFor({ state: "hidden" });
  });

  it("spans time, not windows: after a pause of an hour the live chart is the minutes since", async () => {
    const every = (/** @type {number} */ from, /** @type {number} */ to) =>
      Array.from({ length: (from - to) / SECOND + 1 }, (_, index) =>
        past("PAUSED", 300 + Math.sin(index), from - index * SECOND),
      );
    await store(...every(59 * MINUTE, 57 * MINUTE), ...every(100 * SECOND, 0));
    const { page } = await visitChart("#PAUSED");
    await eventually(async () => Number(await plotValue(page, "aria-valuemax")) >= 100, "all windows since the pause");
    const [first, last] = await ends(page);
    const seconds = (/** @type {string} */ clock) => clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
    assert.ok((seconds(last) - seconds(first) + 86_400) % 86_400 < 200, `from ${first} to ${last}`);
    assert.equal(await text(page, "#detail-note"), "");

    await page.locator("label", { hasText: "1 h" }).click();
    await noteIs(page, /No windows for 55 min, from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d\./);
    await page.keyboard.press("Escape");
    assert.equal(await hasLineAt(page, 0.5), false, "no line over the pause");
    assert.equal(await hasLineAt(page, 0.02), true, "a line before it");
    assert.equal(await hasLineAt(page, 0.99), true, "a line after it");
    await page.locator(".plot").focus();
    await page.keyboard.press("Home");
    const before = await plotValue(page, "aria-valuetext");
    for (let press = 0; press < 5; press += 1) await page.keyboard.press("PageUp");
    assert.notEqual(await plotValue(page, "aria-valuetext"), before);
    assert.match(await plotValue(page, "aria-valuetext"), /Average \d/, "the cursor skips the pause");
  });

  it("continues a sampled range without a gap, and tells the lowest and the highest where it is dense", async () => {
    const count = 1500;
    await store(
      ...Array.from({ length: count }, (_, index) => past("DENSE", 300 + (index % 7), (count - 1 - index) * 2400)),
    );
    const { page } = await visitChart("?range=1h#DENSE");
    await noteIs(page, /^One window of every 15 s\.$/);
    await store(window("DENSE", 320));
    await eventually(async () => {
      await page.locator(".plot").focus();
      await page.keyboard.press("End");
      return /Average 320\.00/.test(await plotValue(page, "aria-valuetext"));
    }, "the newest window is in the range");
    assert.equal(await text(page, "#detail-note"), "One window of every 15 s.", "no pause");

    const { page: phone } = await visitChart("?range=15m#DENSE", PHONE);
    await noteIs(phone, /^$/);
    await phone.locator('[data-line="band"]').waitFor();
    await phone.locator(".plot").focus();
    await phone.keyboard.press("End");
    await phone.keyboard.press("PageDown");
    assert.match(await plotValue(phone, "aria-valuetext"), /, \d windows: Average .*, Lowest \d.*, Highest \d/);
  });

  it("says that a range cannot be read at the moment, and shows it as soon as it can", async () => {
    const { page } = await visitChart("#MSFT");
    let refusals = 0;
    await page.route("**/history?*", async (route) => {
      refusals += 1;
      if (refusals > 2) await route.continue();
      else await route.fulfill({ status: 503 });
    });
    await page.locator("label", { hasText: "6 h" }).click();
    await noteIs(page, /^The history cannot be read at the moment\. Trying again\.$/);
    await noteIs(page, /^60 windows in this range\.$/);
    assert.equal(refusals, 3);
  });

  it("compares companies: found by typing, drawn as change, in the address", async () => {
    const { page, problems } = await visitChart("#MSFT");
    const search = page.locator(".compare input");
    await search.click();
    assert.deepEqual(await page.locator("#compare-list li").allTextContents(), ["^GSPC", "TSLA"]);
    await page.keyboard.type("ts");
    assert.deepEqual(await page.locator("#compare-list li").allTextContents(), ["TSLA"]);
    assert.equal(await search.getAttribute("aria-activedescendant"), "compare-option-0");
    await page.keyboard.press("Enter");
    const legend = page.locator(".legend li");
    await eventually(async () => (await legend.count()) === 2, "two lines");
    assert.equal(await page.locator("#compare-list").isVisible(), false);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await eventually(async () => (await legend.count()) === 3, "three lines");
    assert.equal(address(page), "?with=TSLA,%5EGSPC#MSFT");
    await eventually(
      async () => (await legend.allTextContents()).every((item) => /[+−]?\d+\.\d\d %, [\d,.]+/.test(item)),
      "a value for each",
    );
    const colours = await legend.evaluateAll((items) => items.map((item) => item.style.getPropertyValue("--colour")));
    assert.equal(new Set(colours).size, 3, `colours are ${colours.join()}`);
    await page.locator(".plot").focus();
    await page.keyboard.press("End");
    assert.match(await plotValue(page, "aria-valuetext"), /MSFT .* %, .*TSLA .* %, .*\^GSPC .* %/);

    await page.locator("label", { hasText: "1 h" }).click();
    assert.equal(address(page), "?range=1h&with=TSLA,%5EGSPC#MSFT");
    await page.reload();
    await eventually(async () => (await legend.count()) === 3, "the address brings them back");
    assert.ok(await page.locator("#range-1h").isChecked());
    await page.getByRole("button", { name: "Remove ^GSPC" }).click();
    await page.getByRole("button", { name: "Remove TSLA" }).click();
    await eventually(async () => (await legend.first().textContent()) === "Average", "the company alone");
    assert.equal(address(page), "?range=1h#MSFT");
    assert.deepEqual(problems, []);
  });

  it("compares at most six companies, also those without windows", async () => {
    await store(...["A", "B", "C", "D"].map((name) => window(name, 5)));
    const { page } = await visitChart("?with=A,B,C,NONE,MSFT,TSLA,D#MSFT");
    await eventually(async () => (await page.locator(".legend li").count()) === 6, "six lines");
    assert.deepEqual(await page.locator(".legend .name").allTextContents(), ["MSFT", "A", "B", "C", "NONE", "TSLA"]);
    assert.equal(await page.locator(".compare input").isDisabled(), true);
    await page.getByRole("button", { name: "Remove NONE" }).click();
    await eventually(() => page.locator(".compare input").isEnabled(), "there is room for one more");
  });

  it("pauses with the page: new windows wait, are counted, and are there when it goes on", async () => {
    const { page } = await visitChart("#MSFT");
    await page.locator("#pause").click();
    const before = [await text(page, "#detail .price"), await plotValue(page, "aria-valuemax")];
    await store(window("MSFT", 331), window("MSFT", 332));
    await eventually(async () => /^Paused, [12] updates? waits?$/.test(await text(page, "#pause-text")), "they wait");
    assert.deepEqual([await text(page, "#detail .price"), await plotValue(page, "aria-valuemax")], before);
    await page.locator(".plot").focus();
    await page.keyboard.press("+");
    await page.keyboard.press("0");
    assert.equal(await plotValue(page, "aria-valuemax"), before[1], "zooming shows none of them either");
    await page.locator("#pause").click();
    await eventually(async () => (await text(page, "#detail .price")) === "332.00", "the newest price");
    await page.locator(".plot").focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    assert.match(await plotValue(page, "aria-valuetext"), /Average 331\.00/, "the windows of the pause are there");
    await page.keyboard.press("p");
    assert.match(await text(page, "#pause-text"), /^Paused/);
    await page.keyboard.press("p");
    assert.equal(await text(page, "#pause-text"), "Pause");
    await page.locator(".compare input").focus();
    await page.keyboard.type("p");
    assert.equal(await text(page, "#pause-text"), "Pause", "typing a name pauses nothing");
  });

  it("saves what the chart shows as CSV", async () => {
    // Histories that no other test has asked for: a live view keeps its answers for a while.
    const windows = (/** @type {string} */ company) =>
      Array.from({ length: 60 }, (_, index) => past(company, 300 + index, 20 * SECOND * (59 - index)));
    await store(...windows("ONE"), ...windows("TWO"));
    await store(past("=X", 0.00001234, 3000), past("=X", 312.04710000000006, 2000, { sell: undefined }));
    const { page, problems } = await visitChart("#%3DX");
    const save = async () => {
      const [download] = await Promise.all([page.waitForEvent("download"), page.locator(".save").click()]);
      return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
    };
    const { name, text: saved } = await save();
    assert.match(name, /^stockmarket-_X-live-\d{4}-\d\d-\d\dT\d{6}Z\.csv$/);
    const lines = saved.split("\r\n");
    assert.equal(
      lines[0],
      "company,time (UTC),average price (price units),buy average (price units),sell average (price units)",
    );
    assert.match(lines[2], /^'=X,\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z,312\.047/);
    assert.equal(lines.length, 4);
    await page.goto(new URL("?range=1h&with=TWO#ONE", page.url()).href);
    await noteIs(page, /^Change of each/);
    const compared = (await save()).text.split("\r\n");
    assert.match(compared[0], /,change from start \(%\)$/);
    assert.equal(compared.filter((line) => line.startsWith("TWO,")).length, 60);
    assert.equal(compared.filter((line) => line.startsWith("ONE,")).length, 60);
    assert.deepEqual(problems, []);
  });

  it("says how fresh the newest window is, and names the time zone", async () => {
    const { page } = await visitChart("#MSFT", { ...DESKTOP, timezoneId: "Europe/Berlin" });
    await store(window("MSFT", 301, { closedAt: new Date(Date.now() - 2000) }));
    await eventually(async () => (await text(page, "#detail .price")) === "301.00", "the new window");
    await eventually(async () => /^\d+(\.\d)? s$/.test(await text(page, '[data-fact="delay"]')), "the delay");
    const seconds = Number.parseFloat(await text(page, '[data-fact="delay"]'));
    assert.ok(seconds >= 1.9, `a window of 2 s ago had a delay of ${seconds} s`);
    assert.match(await text(page, '[data-fact="arrived"]'), /^\d\d:\d\d:\d\d$/);
    assert.match(await text(page, '[data-fact="zone"]'), /Europe\/Berlin$/);
    const berlin = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", hour: "2-digit" }).format(Date.now());
    assert.ok((await text(page, '[data-fact="arrived"]')).startsWith(berlin), "times are in that zone");
  });

  it("has room for huge, tiny and very precise prices", async () => {
    const others = { minPrice: 1, maxPrice: 1e15 };
    const windows = (/** @type {string} */ company, /** @type {number} */ price) =>
      Array.from({ length: 20 }, (_, index) => past(company, price * (1 + index / 1e6), (19 - index) * SECOND, others));
    await store(...windows("HUGE", 123_456_789_012_345), ...windows("TINY", 1.234e-5), ...windows("EXACT", 312.0471));
    for (const company of ["HUGE", "TINY", "EXACT"]) {
      for (const options of [DESKTOP, PHONE]) {
        const { page, close } = await visitChart(`#${company}`, options);
        const what = `${company}, ${options.viewport.width} px`;
        const { scroll, visible, cut } = await page.evaluate(() => {
          const { scrollWidth, clientWidth } = document.documentElement;
          const places = [...document.querySelectorAll("#detail .price, #detail dd")];
          const isCut = places.filter((place) => place.scrollWidth > place.clientWidth + 1);
          return { scroll: scrollWidth, visible: clientWidth, cut: isCut.map((place) => place.textContent) };
        });
        assert.ok(scroll <= visible, `${what}: ${scroll} px wide on ${visible}`);
        assert.deepEqual(cut, [], what);
        await close();
      }
    }
  });

  it("says that a company has no windows yet, and shows its first one", async () => {
    const { page, problems } = await visit("#NEW%20ONE");
    await noteIs(page, /^There is no window of NEW ONE yet\.$/);
    assert.equal(await page.locator("#detail .figures").isVisible(), false);
    await store(window("NEW ONE", 77));
    await eventually(async () => (await text(page, "#detail .price")) === "77.00", "it is shown");
    assert.equal(await page.locator("#detail .figures").isVisible(), true);
    assert.equal(await text(page, "#detail-note"), "");
    assert.deepEqual(problems, []);
  });

  it("says that a company is gone while one looks at it, and shows it again when it is back", async () => {
    const { page, problems } = await visitChart("?range=1h#TSLA");
    await noteIs(page, /^60 windows/);
    await collection().deleteMany({ company: "TSLA" });
    await noteIs(page, /^TSLA has no windows any more/);
    assert.equal(await page.locator("#detail .big-chart").isVisible(), false);
    await store(window("TSLA", 88));
    await eventually(async () => (await text(page, "#detail .price")) === "88.00", "it is back");
    await noteIs(page, /^1 window in this range\.$/);
    assert.equal(await page.locator("#detail .big-chart").isVisible(), true);
    assert.deepEqual(problems, []);
  });

  it("leaves nothing behind: after 30 visits there are no more canvases, charts or listeners", async () => {
    const { page } = await visitChart("?with=TSLA#MSFT");
    const client = await page.context().newCDPSession(page);
    const instances = async (/** @type {string} */ prototype) => {
      const { result } = await client.send("Runtime.evaluate", { expression: prototype });
      const { objects } = await client.send("Runtime.queryObjects", { prototypeObjectId: result.objectId ?? "" });
      const { result: length } = await client.send("Runtime.callFunctionOn", {
        objectId: objects.objectId,
        functionDeclaration: "function () { return this.length; }",
      });
      await client.send("Runtime.releaseObject", { objectId: objects.objectId ?? "" });
      return length.value;
    };
    const measure = async () => {
      await client.send("HeapProfiler.collectGarbage");
      const { jsEventListeners, nodes } = await client.send("Memory.getDOMCounters");
      return {
        canvases: await instances("HTMLCanvasElement.prototype"),
        observers: await instances("ResizeObserver.prototype"),
        listeners: jsEventListeners,
        nodes,
      };
    };
    const visitBoth = async () => {
      for (const name of ["TSLA", "MSFT"]) {
        await page.evaluate((hash) => {
          location.hash = hash;
        }, name);
        await eventually(async () => (await text(page, "#detail h1")) === name, "the other company");
        await page.locator(".plot canvas").waitFor();
      }
    };
    await visitBoth();
    const before = await measure();
    for (let visits = 0; visits < 15; visits += 1) await visitBoth();
    // What the browser itself still holds of the last view goes with the next garbage.
    await eventually(
      async () => {
        const { canvases, observers, listeners, nodes } = await measure();
        return (
          canvases <= before.canvases &&
          observers <= before.observers &&
          listeners <= before.listeners + 20 &&
          nodes <= before.nodes + 300
        );
      },
      `no more than ${JSON.stringify(before)}`,
    );
  });

  it("forces no layout when a window arrives, with the cursor on the chart", async () => {
    const { page } = await visitChart("#MSFT");
    const box = (await page.locator(".u-over").boundingBox()) ?? assert.fail("no chart");
    await page.mouse.move(box.x + 200, box.y + 50);
    await page.locator(".tip").waitFor();
    const browser = page.context().browser() ?? assert.fail("no browser");
    const timeline = "devtools.timeline";
    const stacks = `disabled-by-default-${timeline}.stack`;
    await browser.startTracing(page, { categories: [timeline, `disabled-by-default-${timeline}`, stacks] });
    for (const price of ["301.00", "302.00", "303.00"]) {
      await store(window("MSFT", Number(price)));
      await eventually(async () => (await text(page, "#detail .price")) === price, "the new price");
    }
    const { traceEvents } = JSON.parse(String(await browser.stopTracing()));
    const layouts = traceEvents.filter((/** @type {any} */ { name }) => name === "Layout");
    assert.ok(layouts.length > 0, "the trace has layouts");
    const forced = layouts
      .flatMap((/** @type {any} */ { args }) => [args.beginData?.stackTrace ?? []])
      .map((/** @type {any[]} */ stack) => stack.map(({ functionName, url }) => `${functionName} ${url}`))
      .filter((/** @type {string[]} */ stack) => stack.some((frame) => frame.includes("/assets/")));
    assert.deepEqual(forced, []);
  });

  it("follows the preferred colour scheme when it changes", async () => {
    const { page } = await visitChart("#MSFT", { ...DESKTOP, colorScheme: "dark" });
    const before = await picture(page, ".plot");
    await page.emulateMedia({ colorScheme: "light" });
    await eventually(async () => (await picture(page, ".plot")) !== before, "the chart follows");
    await eventually(() => hasLineAt(page, 0.5), "its line has the light scheme's colour");
  });

  it("has no accessibility violations (axe-core): alone, compared, zoomed, paused, quiet", async () => {
    await store(window("OLD", 1));
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      for (const size of [DESKTOP, PHONE]) {
        const options = { ...size, colorScheme, reducedMotion: /** @type {const} */ ("reduce") };
        const what = `${colorScheme} ${size.viewport.width}`;
        await store(window("MSFT", 300));
        const { page, close } = await visitChart("?range=1h&with=TSLA,%5EGSPC#MSFT", options);
        await noteIs(page, /^Change of each/);
        await page.locator(".plot").focus();
        await page.keyboard.press("End");
        await page.keyboard.press("+");
        await page.keyboard.press("p");
        await page.locator(".compare input").click();
        await page.keyboard.press("ArrowDown");
        assert.deepEqual(await violations(page), [], `${what}: compared`);
        await close();
        const quiet = await visit("#OLD", options);
        await eventually(async () => /^Quiet/.test(await text(quiet.page, "#detail .age")), "it is quiet");
        assert.deepEqual(await violations(quiet.page), [], `${what}: quiet`);
        await quiet.close();
      }
    }
  });

  it("works by keyboard alone", async () => {
    const { page } = await visitChart("#MSFT");
    await page.locator(".back").focus();
    const reached = [];
    for (let press = 0; press < 9; press += 1) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement?.className || document.activeElement?.id));
    }
    for (const place of ["range-live", "tool zoom-in", "tool save", "plot"]) {
      assert.ok(reached.includes(place), `${place} is among ${reached.join(", ")}`);
    }
  });
});
