import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog, reason } from "../src/log.js";

/** @param {"text" | "json"} format @param {(log: import("../src/log.js").Log) => void} use */
function logged(format, use) {
  /** @type {string[]} */
  const lines = [];
  use(createLog({ format, level: "info", write: (line) => lines.push(line) }));
  return lines;
}

describe("the log", () => {
  it("is one JSON object for each line in the json format", () => {
    const [line, ...others] = logged("json", (log) => {
      log.debug("left out");
      log.warn("message", { port: 1, reason: "a\nb" });
    });
    assert.deepEqual(others, []);
    const { time, ...fields } = JSON.parse(line);
    assert.ok(Date.parse(time));
    assert.deepEqual(fields, { level: "warn", message: "message", port: 1, reason: "a\nb" });
  });

  it("is one line in the text format, whatever a field contains", () => {
    const [line] = logged("text", (log) => log.info("message", { reason: "a\nINFO forged", port: 1, none: undefined }));
    assert.match(line, /^\S+ INFO {2}message reason="a\\nINFO forged" port=1\n$/);
  });

  it("removes passwords from errors", () => {
    assert.equal(reason(new Error("cannot reach mongodb://user:hunter2@host/")), "cannot reach mongodb://***@host/");
  });
});
