/** What of the page is in its address. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { read, write } from "../page/address.js";
import { SYMBOLS } from "./support.js";

const PAGE = "http://host/stocks/";
/** @param {string} address */
const open = (address) => read(new URL(address, PAGE));
const plain = open("");

describe("the address", () => {
  it("is the page's own for the overview as it is at first", () => {
    assert.deepEqual(plain, {
      company: "",
      view: "",
      sort: { column: "symbol", isDescending: false },
      q: "",
      change: "open",
      range: "",
      with: [],
      kiosk: false,
    });
    assert.equal(new URL(write(plain), PAGE).href, PAGE);
  });

  it("has any company after #, as written and as typed", () => {
    for (const company of [...SYMBOLS, "a,b", "100%", "%25", "A&B=C#D?E", "日本 株", "<b>"]) {
      assert.equal(open(write({ ...plain, company })).company, company);
      assert.deepEqual(open(write({ ...plain, company, q: company })), { ...plain, company, q: company });
    }
    for (const company of SYMBOLS) assert.equal(open(`#${company}`).company, company);
    assert.equal(open("#100%").company, "100%");
  });

  it("keeps all that one can choose", () => {
    const state = {
      ...plain,
      view: /** @type {const} */ ("table"),
      sort: { column: "change", isDescending: true },
      q: "A&B=+ %",
      change: /** @type {const} */ ("1h"),
      range: "6h",
      with: [...SYMBOLS, "a,b", "100%", "%2C", "x&y"],
      kiosk: true,
    };
    assert.deepEqual(open(write(state)), state);
    assert.equal(write({ ...plain, sort: state.sort, with: ["A", "B"], company: "C" }), "./?sort=-change&with=A,B#C");
  });

  it("reads a list whose commas were encoded on the way", () => {
    assert.deepEqual(open("?with=A%2CB").with, ["A", "B"]);
  });

  it("takes the usual for what it does not know", () => {
    assert.deepEqual(open("?view=pie&sort=-colour&change=2y&range=3h&other=1"), plain);
    assert.deepEqual(open("?change=constructor&sort=__proto__"), plain);
  });
});
