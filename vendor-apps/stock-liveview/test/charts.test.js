/** What the detail view's chart shows, as far as it needs no browser. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Arrival } from "../page/arrival.js";
import { matching } from "../page/compare.js";
import { csv, fileName } from "../page/csv.js";
import { distinctColours } from "../page/drawing.js";
import { note } from "../page/note.js";
import { comparison, moved, nearest, single, valueAt } from "../page/picture.js";
import { extend, firstNewer, newestWithin, panned, rangeOf, sampleStep, within, zoomed } from "../page/ranges.js";
import { readout, sentence } from "../page/readout.js";
import { ascending, band, brokenLine, columnWidth, commonPauses, countWithin, pauses } from "../page/series.js";
import { axisLabels, delay, lasting, percent, withoutWindows, zone } from "../page/words.js";

/** @typedef {import("../page/store.js").Points} Points */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** A time that is a multiple of every width of columns in these tests. */
const START = 1_800_000_000_000;

/** Windows that close every `step`. @param {number} from @param {number} to @param {number} [step] */
const every = (from, to, step = SECOND) =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
/** @param {number[]} time @param {(index: number) => number} [priceAt] @returns {Points} */
const points = (time, priceAt = (index) => 100 + index) => ({
  time,
  avgPrice: time.map((_, index) => priceAt(index)),
  buy: time.map((_, index) => priceAt(index) + 1),
  sell: time.map(() => null),
});
/** @param {Points} all @param {object} [scope] */
const picture = (all, scope = {}) =>
  single({ name: "A", points: all }, { range: "live", view: null, columns: 400, ...scope });
/** @param {(number | null | undefined)[]} values */
const numbers = (values) => values.filter((value) => typeof value === "number");

describe("times", () => {
  it("that are in order stay the same", () => {
    const times = [1, 2, 2, 3];
    assert.equal(ascending(times), times);
  });

  it("never go back: a window that is ahead or behind gets a time between its neighbours", () => {
    assert.deepEqual(ascending([10, 20, 3_600_030, 40, 50]), [10, 20, 30, 40, 50]);
    assert.deepEqual(ascending([10, 20, 1, 40, 50]), [10, 20, 30, 40, 50]);
    assert.deepEqual(ascending([90, 20, 30]), [20, 20, 30]);
    assert.deepEqual(ascending([10, 20, 5]), [10, 20, 20]);
  });

  it("are counted back from the newest", () => {
    assert.equal(countWithin([0, 10, 20, 30], 20), 3);
    assert.equal(countWithin([30], 0), 1);
  });
});

describe("a pause", () => {
  it("is where no window closed for several times the usual interval", () => {
    const times = [...every(0, 60_000), ...every(60_000 + HOUR, 70_000 + HOUR)];
    assert.deepEqual(pauses(times), [{ from: 60_000, to: 60_000 + HOUR }]);
  });

  it("is none where windows are rarer, as after a change of their size", () => {
    const times = [...every(0, 20 * MINUTE, 30 * SECOND), ...every(20 * MINUTE + SECOND, 25 * MINUTE)];
    assert.deepEqual(pauses(times), []);
  });

  it("is none between two windows alone, nor for an instant", () => {
    assert.deepEqual(pauses([0, HOUR]), []);
    assert.deepEqual(pauses([...every(0, 2000, 100), 6000]), []);
    assert.deepEqual(pauses([]), []);
  });

  it("is seen with few windows around it", () => {
    assert.equal(pauses([0, SECOND, HOUR]).length, 1);
  });

  it("of several companies is the time that all of them paused", () => {
    const lists = [
      [
        { from: 0, to: 10 },
        { from: 20, to: 40 },
      ],
      [{ from: 5, to: 30 }],
    ];
    assert.deepEqual(commonPauses(lists), [
      { from: 5, to: 10 },
      { from: 20, to: 30 },
    ]);
    assert.deepEqual(commonPauses([...lists, []]), []);
  });

  it("breaks a line", () => {
    const times = [...every(0, 3000), HOUR];
    assert.deepEqual(brokenLine(times, [1, 2, 3, 4, 5]).value, [1, 2, 3, 4, null, 5]);
  });
});

describe("a band", () => {
  it("is no denser than the pixels, and loses no spike", () => {
    const time = every(START, START + 999 * SECOND);
    const value = time.map((_, index) => (index === 500 ? 900 : 100));
    const { low, high, average } = band({ time, value }, 100);
    assert.ok(time.length > 100 && low.length <= 101, `${low.length} columns`);
    assert.equal(Math.max(...numbers(high)), 900);
    assert.equal(Math.min(...numbers(low)), 100);
    assert.ok(Math.max(...numbers(average)) < 200);
  });

  it("is the line itself when there is room, and keeps breaks", () => {
    const line = { time: [1, 2, 3], value: [5, null, 7] };
    assert.deepEqual(band(line, 100), {
      time: [1, 2, 3],
      low: [5, null, 7],
      average: [5, null, 7],
      high: [5, null, 7],
    });
    assert.deepEqual(band({ time: [], value: [] }, 100).time, []);
  });

  it("has columns of a width that new windows do not change", () => {
    assert.equal(columnWidth(300_000, 100), 3000);
    assert.equal(columnWidth(300_700, 100), 4000);
    assert.equal(columnWidth(303_000, 100), columnWidth(303_900, 100));
  });
});

describe("the chart", () => {
  it("shows the last five minutes of time, not the last windows", () => {
    const { whole, time } = picture(
      points([...every(START, START + MINUTE), ...every(START + HOUR, START + HOUR + MINUTE)]),
    );
    assert.deepEqual(whole, { from: START + HOUR, to: START + HOUR + MINUTE });
    assert.equal(time.length, 61);
  });

  it("shows more time of a company whose windows are rare", () => {
    const { tracks } = picture(points(every(START, START + 5 * HOUR, 10 * MINUTE)));
    assert.equal(tracks[0].points.time.length, 13);
  });

  it("breaks its line at a pause, and marks it", () => {
    const times = [...every(START, START + MINUTE), ...every(START + 3 * MINUTE, START + 4 * MINUTE)];
    const { pauses: marked, lines, isBreak, time } = picture(points(times));
    assert.deepEqual(marked, [{ from: START + MINUTE, to: START + 3 * MINUTE }]);
    const at = isBreak.indexOf(true);
    assert.equal(time[at], START + 2 * MINUTE);
    assert.equal(lines[0][at], null);
    assert.equal(lines[0].filter((value) => value === null).length, 1);
  });

  it("goes on where a window has no buys or sells", () => {
    const { lines } = picture(points(every(START, START + 5000)));
    assert.deepEqual(new Set(lines[2]), new Set([undefined]));
  });

  it("becomes a band where windows are denser than the pixels, and exact when zoomed in", () => {
    const all = points(every(START, START + 15 * MINUTE), (index) => (index % 2 ? 100 : 110));
    const scope = { range: "15m", columns: 100 };
    const whole = picture(all, scope);
    assert.ok(whole.time.length <= 101, `${whole.time.length} columns`);
    assert.deepEqual([whole.low[5], whole.high[5]], [100, 110]);
    const zoomedIn = picture(all, { ...scope, view: { from: START, to: START + MINUTE } });
    assert.equal(zoomedIn.time.length, all.time.length);
    assert.equal(zoomedIn.low[5], zoomedIn.high[5]);
  });

  it("keeps its columns where they are when a window is added", () => {
    const before = picture(points(every(START, START + 750 * SECOND)), { range: "15m", columns: 100 });
    const after = picture(points(every(START, START + 751 * SECOND)), { range: "15m", columns: 100 });
    assert.deepEqual(after.time.slice(0, before.time.length - 1), before.time.slice(0, -1));
  });

  it("does not stop for an hour when one window's clock is an hour ahead", () => {
    const times = every(START, START + MINUTE);
    times[30] += HOUR;
    const { whole, pauses: marked, time } = picture(points(times));
    assert.deepEqual(whole, { from: START, to: START + MINUTE });
    assert.deepEqual(marked, []);
    assert.equal(time.length, 61);
  });

  it("judges pauses of a sampled range by its step", () => {
    const step = HOUR / 240;
    const times = [...every(START, START + 20 * MINUTE, step), ...every(START + 22 * MINUTE, START + HOUR, step)];
    assert.equal(sampleStep("1h", times), step);
    assert.equal(picture(points(times), { range: "1h" }).pauses.length, 1);
    assert.equal(picture(points(every(START, START + HOUR, step)), { range: "1h" }).pauses.length, 0);
    assert.equal(sampleStep("live", times), 0);
    assert.equal(sampleStep("1h", every(START, START + HOUR, 4 * SECOND)), 0);
  });

  it("is empty without windows", () => {
    const { time, whole, pauses: marked } = picture(points([]));
    assert.deepEqual([time, whole, marked], [[], { from: 0, to: 0 }, []]);
  });
});

describe("a comparison", () => {
  const scope = { range: "live", view: null, columns: 400 };

  it("draws each company as the change from its first window in the range", () => {
    const time = every(START, START + MINUTE);
    const tracks = [
      { name: "A", points: points(time, (index) => 100 + index) },
      { name: "B", points: points(time, (index) => 10 - index / 100) },
    ];
    const { lines, prices } = comparison(tracks, scope);
    assert.deepEqual([lines[0][0], lines[1][0]], [0, 0]);
    assert.deepEqual([lines[0].at(-1), prices[0].at(-1)], [60, 160]);
    assert.ok(Math.abs(Number(lines[1].at(-1)) + 6) < 1e-9);
  });

  it("has one time for all, and leaves out what is older than the range", () => {
    const tracks = [
      { name: "A", points: points(every(START + HOUR, START + HOUR + MINUTE)) },
      { name: "OLD", points: points(every(START, START + MINUTE)) },
    ];
    const { whole, lines, tracks: shown } = comparison(tracks, scope);
    assert.deepEqual(whole, { from: START + HOUR, to: START + HOUR + MINUTE });
    assert.deepEqual(numbers(lines[1]), []);
    assert.deepEqual(shown[1].points.time, []);
  });

  it("breaks only the line of the company that paused", () => {
    const paused = [...every(START, START + MINUTE), ...every(START + 3 * MINUTE, START + 4 * MINUTE)];
    const tracks = [
      { name: "A", points: points(every(START, START + 4 * MINUTE)) },
      { name: "B", points: points(paused) },
    ];
    const { lines, pauses: marked } = comparison(tracks, scope);
    assert.ok(!lines[0].includes(null));
    assert.ok(lines[1].includes(null));
    assert.deepEqual(marked, []);
    const both = comparison([tracks[1], { name: "C", points: points(paused) }], scope);
    assert.deepEqual(both.pauses, [{ from: START + MINUTE, to: START + 3 * MINUTE }]);
    assert.ok(both.lines.every((line) => line.includes(null)));
  });

  it("breaks a line also where the pause is hardly longer than a column, wherever columns begin", () => {
    for (let offset = 0; offset < 40; offset += 4) {
      const from = START + offset * SECOND;
      const paused = [
        ...every(from, from + 10 * MINUTE),
        ...every(from + 10 * MINUTE + 45 * SECOND, from + 15 * MINUTE),
      ];
      const tracks = ["A", "B"].map((name) => ({ name, points: points(paused) }));
      const { lines, time } = comparison(tracks, { ...scope, range: "15m", columns: 25 });
      assert.ok(
        lines.every((line) => line.includes(null)),
        `at ${offset} s`,
      );
      assert.deepEqual(
        time,
        time.toSorted((a, b) => a - b),
      );
    }
  });

  it("has no change from a price of zero, and one upwards from a price below", () => {
    const time = [START, START + SECOND];
    const tracks = [
      { name: "A", points: points(time, (index) => index) },
      { name: "B", points: points(time, (index) => -100 + 10 * index) },
    ];
    assert.deepEqual(comparison(tracks, scope).lines, [
      [undefined, undefined],
      [0, 10],
    ]);
  });

  it("gives each company a colour of its own", () => {
    assert.deepEqual(distinctColours([1, 9, 2, 2]), ["--company-1", "--company-2", "--company-3", "--company-4"]);
    assert.equal(new Set(distinctColours([7, 7, 7, 7, 7, 7])).size, 6);
  });

  it("finds companies by a part of their name, those that begin with it first", () => {
    const names = ["AAPL", "BRK.B", "MSFT", "TSLA"];
    assert.deepEqual(matching(names, "a"), ["AAPL", "TSLA"]);
    assert.deepEqual(matching(names, "b"), ["BRK.B"]);
    assert.deepEqual(matching(names, "T"), ["TSLA", "MSFT"]);
    assert.deepEqual(matching(names, " "), names);
  });
});

describe("the note", () => {
  const told = (/** @type {Points} */ all, range = "live") => note(picture(all, { range }), range, START);

  it("tells the newest pauses, and how many there were before", () => {
    const times = [0, 1, 2, 3].flatMap((part) => every(START + part * MINUTE, START + part * MINUTE + 20 * SECOND));
    assert.match(
      told(points(times)),
      /^No windows for 40 s, from (\S+) to \S+\. No windows for 40 s, from (?!\1)\S+ to \S+\. 1 earlier pause\.$/,
    );
    assert.equal(told(points(every(START, START + MINUTE))), "");
  });

  it("tells what a range lacks, and that it is sampled", () => {
    assert.equal(told(points([]), "1h"), "No windows in this range.");
    assert.equal(told(points([START]), "1h"), "1 window in this range.");
    assert.equal(told(points(every(START, START + 15 * MINUTE)), "15m"), "");
    assert.equal(told(points(every(START, START + HOUR, HOUR / 240)), "1h"), "One window of every 15 s.");
  });
});

describe("the cursor", () => {
  const paused = picture(points([...every(START, START + MINUTE), ...every(START + 3 * MINUTE, START + 4 * MINUTE)]));
  const gap = paused.isBreak.indexOf(true);

  it("never rests in a pause", () => {
    assert.equal(nearest(paused, paused.time[gap] - 1), gap - 1);
    assert.equal(moved(paused, gap - 1, 1), gap + 1);
    assert.equal(moved(paused, gap + 1, -1), gap - 1);
    assert.equal(moved(paused, 3, -10), 0);
    assert.equal(moved(paused, 3, 1000), paused.time.length - 1);
    assert.equal(nearest(picture(points([])), 5), -1);
  });

  it("reads a line's last value where others have theirs, but not over a pause", () => {
    assert.equal(valueAt([1, undefined, undefined], 2), 1);
    assert.equal(valueAt([1, null, undefined], 2), undefined);
    assert.equal(valueAt([undefined], 0), undefined);
  });

  it("tells time, prices, and the lowest and highest of a band", () => {
    const exact = sentence(readout(paused, 0, START));
    assert.match(exact, /^\d\d:\d\d:\d\d: Average 100\.00, Buy 101\.00$/);
    const all = points(every(START, START + 15 * MINUTE), (index) => (index % 2 ? 100 : 110));
    const dense = sentence(readout(picture(all, { range: "15m", columns: 100 }), 5, START));
    assert.match(dense, /, 10 windows: Average .*, Lowest 100\.00, Highest 110\.00, Buy /);
  });
});

describe("a longer range", () => {
  it("is continued by the windows after its own last one", () => {
    const history = points([1000, 2000, 3000]);
    assert.equal(
      firstNewer(
        history,
        points([2000, 3000, 4000], (index) => 101 + index),
      ),
      2,
    );
    assert.equal(firstNewer(history, points([5000, 6000])), 0);
    assert.equal(firstNewer(history, points([1000, 2000])), 2);
    assert.equal(firstNewer(points([]), points([1000])), 0);
  });

  it("is continued although the clock of its last window was ahead", () => {
    const history = points([1000, 2000, HOUR]);
    assert.equal(
      firstNewer(
        history,
        points([2000, HOUR, 4000], (index) => 101 + index),
      ),
      2,
    );
    assert.equal(firstNewer(history, points([2000, 4000])), 1);
  });

  it("gets new windows; those that are too old are left out", () => {
    const history = points([0, 400_000, 800_000]);
    extend(history, points([1_000_000, 1_200_000]), 0, 900_000, 0);
    assert.deepEqual(newestWithin(history, 900_000).time, [400_000, 800_000, 1_000_000, 1_200_000]);
  });

  it("is not denser at its end than elsewhere", () => {
    const step = HOUR / 240;
    const history = points(every(START, START + HOUR, step));
    const before = history.time.length;
    extend(history, points(every(START + HOUR + SECOND, START + HOUR + MINUTE)), 0, HOUR, step);
    assert.ok(history.time.length <= before + 5, `${history.time.length - before} more points`);
    assert.equal(history.time.at(-1), START + HOUR + MINUTE);
    assert.deepEqual(picture(history, { range: "1h" }).pauses, []);
  });

  it("is bounded in a page that is open for days", () => {
    const history = points(every(START, START + 15 * MINUTE));
    for (let at = START + 15 * MINUTE; at < START + 2 * HOUR; at += SECOND) {
      extend(history, points([at + SECOND]), 0, 15 * MINUTE, 0);
    }
    assert.ok(history.time.length <= 2000, `${history.time.length} points`);
    assert.equal(new Set(Object.values(history).map(({ length }) => length)).size, 1);
  });

  it("is one that there is", () => {
    assert.deepEqual(
      [rangeOf("1h"), rangeOf("live"), rangeOf("__proto__"), rangeOf(undefined)],
      ["1h", "live", "live", "live"],
    );
  });
});

describe("zooming", () => {
  const whole = { from: 0, to: 100_000 };

  it("keeps the time under the cursor where it is", () => {
    assert.deepEqual(zoomed(whole, whole, 0.5, 25_000), { from: 12_500, to: 62_500 });
    assert.deepEqual(zoomed(whole, whole, 0.5, 100_000), { from: 50_000, to: 100_000 });
  });

  it("ends at the whole, and before nothing is left", () => {
    assert.equal(zoomed({ from: 40_000, to: 60_000 }, whole, 10, 50_000), null);
    const { from, to } = zoomed({ from: 0, to: 3000 }, whole, 0.01, 0) ?? assert.fail("the whole");
    assert.equal(to - from, 2000);
  });

  it("moves within the whole", () => {
    const view = { from: 40_000, to: 60_000 };
    assert.deepEqual(panned(view, whole, 10_000), { from: 50_000, to: 70_000 });
    assert.deepEqual(panned(view, whole, 90_000), { from: 80_000, to: 100_000 });
    assert.deepEqual(panned(view, whole, -90_000), { from: 0, to: 20_000 });
    assert.deepEqual(within({ from: -5000, to: 5000 }, whole), { from: 0, to: 10_000 });
    assert.equal(within(whole, whole), null);
  });
});

describe("CSV", () => {
  /** @param {string} name @param {Points} [all] */
  const track = (name, all = points([START, START + SECOND])) => ({ name, points: all });
  const all = { from: START, to: START + HOUR };

  it("has names and units, times in UTC and every digit", () => {
    const exact = { time: [START], avgPrice: [312.04710000000006], buy: [1.234e-5], sell: [null] };
    assert.equal(
      csv([track("MSFT", exact)], all),
      "company,time (UTC),average price (price units),buy average (price units),sell average (price units)\r\n" +
        "MSFT,2027-01-15T08:00:00.000Z,312.04710000000006,0.00001234,\r\n",
    );
  });

  it("has the visible part, and the change of each company in a comparison", () => {
    assert.equal(csv([track("A")], { from: START + 1, to: START + HOUR }).split("\r\n").length, 3);
    const lines = csv([track("A"), track("B")], all).split("\r\n");
    assert.match(lines[0], /,change from start \(%\)$/);
    assert.deepEqual(
      lines.slice(1, 5).map((line) => [line.split(",")[0], line.split(",").at(-1)]),
      [
        ["A", "0"],
        ["A", "1"],
        ["B", "0"],
        ["B", "1"],
      ],
    );
  });

  it("has no formulas, and quotes what needs it", () => {
    const companies = ["=X", "-", "+1", "@A", "^GSPC", "BRK.B", 'a "b", c', "\t=1", '=1,"2'];
    const cells = companies.map((name) => {
      const line = csv([track(name, points([START]))], all).split("\r\n")[1];
      return line.slice(0, line.indexOf(",2027-"));
    });
    assert.deepEqual(cells, ["'=X", "'-", "'+1", "'@A", "^GSPC", "BRK.B", '"a ""b"", c"', "'\t=1", `"'=1,""2"`]);
  });

  it("has a name that every system takes", () => {
    assert.equal(fileName(["RDS/A", "^GSPC"], "1h", START), "stockmarket-RDS_A__GSPC-1h-2027-01-15T080000Z.csv");
    assert.doesNotMatch(fileName([".."], "live", START), /\.\./);
  });
});

describe("the arrival of a window", () => {
  /** @param {string} id @param {number} time @param {number} seenAt */
  const newest = (id, time, seenAt) => ({ _id: id, company: "A", avgPrice: 1, time, seenAt });

  it("is measured when a window arrives, not when the view is opened", () => {
    const arrival = new Arrival();
    arrival.see(newest("1", 1000, 1000), 9000);
    assert.deepEqual([arrival.arrivedAt, arrival.delayMs], [1000, undefined]);
    arrival.see(newest("2", 9000, 9200), 9300);
    arrival.see(newest("2", 9000, 9200), 12_000);
    assert.deepEqual([arrival.arrivedAt, arrival.delayMs], [9300, 300]);
  });

  it("counts a document that was updated in place", () => {
    const arrival = new Arrival();
    arrival.see(newest("1", 1000, 1000), 1000);
    arrival.see(newest("1", 2000, 2000), 2100);
    assert.equal(arrival.arrivedAt, 2100);
  });
});

describe("words", () => {
  it("say how long something lasts", () => {
    assert.deepEqual([230, 45_000, 61_000, 58 * MINUTE, HOUR, 72 * MINUTE, 25 * HOUR, 56 * HOUR].map(lasting), [
      "0.2 s",
      "45 s",
      "1 min 1 s",
      "58 min",
      "1 h",
      "1 h 12 min",
      "1 day 1 h",
      "2 days 8 h",
    ]);
    assert.equal(withoutWindows(58 * MINUTE, false), "no windows for 58 min");
    assert.equal(withoutWindows(58 * MINUTE, true), "no windows for about 58 min");
  });

  it("say a delay, also by a clock that is ahead", () => {
    assert.equal(delay(230), "0.2 s");
    assert.equal(delay(-100), "0.0 s");
    assert.equal(delay(-15_000), "none: its clock is 15 s ahead");
  });

  it("name the time zone", () => {
    assert.equal(zone(START, "UTC"), "UTC");
    assert.match(zone(START, "Europe/Berlin"), /^(CET|GMT\+1), Europe\/Berlin$/);
  });

  it("give axis values the digits that tell them apart, and no more", () => {
    assert.deepEqual(axisLabels([300, 302.5], 2.5), ["300.00", "302.50"]);
    assert.deepEqual(axisLabels([300.001, 300.002], 0.001), ["300.001", "300.002"]);
    assert.deepEqual(axisLabels([0.00001, 0.000012], 0.000002), ["0.000010", "0.000012"]);
    assert.deepEqual(axisLabels([1.23e-10, 1.24e-10], 1e-12), ["1.230e−10", "1.240e−10"]);
    assert.deepEqual(axisLabels([1e12, 1.0001e12], 1e8), ["1.0000T", "1.0001T"]);
    assert.deepEqual(axisLabels([999_500, 1_000_000], 500), ["0.9995M", "1.0000M"]);
    assert.deepEqual(axisLabels([1e18, 1.1e18], 1e17), ["1.00e+18", "1.10e+18"]);
    assert.deepEqual(axisLabels([-0.5, 0, 0.5], 0.5, true), ["−0.5 %", "0.0 %", "+0.5 %"]);
    for (const [from, step] of [
      [1e12, 1],
      [312.0471, 1e-6],
      [1.2e-5, 1e-8],
      [5e7, 250],
      [1e9, 0.5],
    ]) {
      const labels = axisLabels(
        every(0, 4, 1).map((index) => from + index * step),
        step,
      );
      assert.equal(new Set(labels).size, 5, labels.join());
      assert.ok(Math.max(...labels.map(({ length }) => length)) <= 20, labels.join());
    }
  });

  it("say a change in percent", () => {
    assert.deepEqual([1.234, -1.235, 0, 12_345.6, undefined].map(percent), [
      "+1.23 %",
      "−1.24 %",
      "0.00 %",
      "+12,346 %",
      "–",
    ]);
  });
});
