import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { ConfigError, readConfig } from "../src/config.js";

/** @param {Record<string, string>} environment @returns {string[]} */
function problems(environment) {
  try {
    readConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("the configuration", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "liveview-"));
  after(() => rmSync(folder, { recursive: true }));

  it("has the original's defaults", () => {
    const { mongodbUrl, mongodbDb, mongodbCollection, port, nodeEnv } = readConfig({});
    assert.deepEqual(
      { mongodbUrl, mongodbDb, mongodbCollection, port, nodeEnv },
      {
        mongodbUrl: "mongodb://127.0.0.1:27017,127.0.0.1:27018,127.0.0.1:27019/?replicaSet=rs0",
        mongodbDb: "stockmarket",
        mongodbCollection: "stocks",
        port: 3000,
        nodeEnv: "development",
      },
    );
  });

  it("names every problem at once", () => {
    const named = problems({
      MONGODB_URL: "postgres://somewhere",
      MONGODB_DB: "a b",
      MONGODB_COLLECTION: "$x",
      HOST: "no host",
      PORT: "70000",
      MAX_CONNECTIONS: "none",
      ALLOWED_ORIGINS: "stocks.example",
      TRUSTED_PROXIES: "my-proxy",
      LOG_FORMAT: "xml",
      LOG_LEVEL: "loud",
    }).map((problem) => problem.split(" ")[0]);
    assert.deepEqual(named, [
      "MONGODB_URL",
      "MONGODB_DB",
      "MONGODB_COLLECTION",
      "HOST",
      "PORT",
      "MAX_CONNECTIONS",
      "ALLOWED_ORIGINS",
      "TRUSTED_PROXIES",
      "LOG_FORMAT",
      "LOG_LEVEL",
    ]);
  });

  it("never repeats a secret in a message", () => {
    const urls = ["mongodb://user:hunter2@/", "mongodb://user:hunter2@host:port/", "http://user:hunter2@host"];
    for (const url of urls) {
      const told = problems({ MONGODB_URL: url });
      assert.equal(told.length, 1, url);
      assert.doesNotMatch(told[0], /hunter2/);
    }
  });

  it("reads the connection string from a file", () => {
    const file = path.join(folder, "url");
    writeFileSync(file, "mongodb://localhost:1/?replicaSet=x\n");
    assert.equal(readConfig({ MONGODB_URL_FILE: file }).mongodbUrl, "mongodb://localhost:1/?replicaSet=x");
  });

  it("says what is wrong with a file", () => {
    const empty = path.join(folder, "empty");
    writeFileSync(empty, "\n");
    assert.match(problems({ MONGODB_URL_FILE: empty })[0], /MONGODB_URL_FILE names an empty file/);
    assert.match(problems({ MONGODB_URL_FILE: path.join(folder, "none") })[0], /cannot be read \(ENOENT\)/);
    assert.match(problems({ MONGODB_URL_FILE: empty, MONGODB_URL: "mongodb://h" })[0], /both set/);
  });

  it("treats an empty variable as missing", () => {
    assert.equal(readConfig({ PORT: "", LOG_LEVEL: " " }).port, 3000);
  });
});
