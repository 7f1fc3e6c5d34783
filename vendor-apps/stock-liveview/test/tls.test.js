/** The live view and a replica set, of one member, that speaks TLS only. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { MongoClient } from "mongodb";
import { closeAfter, databaseUrl, eventually, openDatabase, run, startMongod, window } from "./support.js";

/** Makes a certificate for localhost that is its own authority. @param {string} certificate @param {string} key files */
async function makeCertificate(certificate, key) {
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...subject, "-out", certificate, "-keyout", key]);
}

describe("over TLS, the live view", { concurrency: true }, () => {
  const opened = /** @type {Array<() => unknown>} */ ([]);
  let [authority, url] = ["", ""];
  /** @type {Awaited<ReturnType<typeof openDatabase>>} */
  let database;

  before(async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "liveview-tls-"));
    opened.push(() => rm(folder, { recursive: true }));
    authority = path.join(folder, "authority.pem");
    const [key, both] = ["key.pem", "server.pem"].map((name) => path.join(folder, name));
    await makeCertificate(authority, key);
    await writeFile(both, (await readFile(authority, "utf8")) + (await readFile(key, "utf8")));
    const tls = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", both];
    const mongod = await startMongod("--replSet", "rs0", ...tls);
    opened.push(() => mongod.stop());

    url = `mongodb://localhost:${mongod.port}/?tls=true`;
    const trusting = `${url}&tlsCAFile=${encodeURIComponent(authority)}`;
    const member = new MongoClient(`${trusting}&directConnection=true`);
    const members = [{ _id: 0, host: `localhost:${mongod.port}` }];
    await member.db("admin").command({ replSetInitiate: { _id: "rs0", members } });
    const hello = () => member.db("admin").command({ hello: 1 });
    await eventually(async () => (await hello()).isWritablePrimary, "the replica set has a primary");
    await member.close();
    database = await openDatabase({ url: trusting });
    opened.push(() => database.close());
    await database.store(window("MSFT", 301));
  });
  after(async () => {
    for (const close of opened.reverse()) await close();
  });

  /** Starts the program, and returns where it listens. @param {import("node:test").TestContext} test @param {Record<string, string>} environment */
  async function listening(test, environment) {
    const { child, output, exited } = run([], { PORT: "0", MONGODB_DB: database.name, ...environment });
    closeAfter(test)(async () => {
      child.kill();
      assert.equal(await exited, 0, output.err);
    });
    const port = await eventually(() => output.err.match(/"port":(\d+)/)?.[1], "it listens");
    return { output, address: `http://127.0.0.1:${port}` };
  }

  for (const way of ["tlsCAFile in the URL", "NODE_EXTRA_CA_CERTS"]) {
    it(`serves averages with a private authority by ${way}`, async (test) => {
      const byVariable = { MONGODB_URL: url, NODE_EXTRA_CA_CERTS: authority };
      const environment = way === "NODE_EXTRA_CA_CERTS" ? byVariable : { MONGODB_URL: database.url };
      const { address } = await listening(test, environment);
      await eventually(async () => (await fetch(`${address}/readyz`)).ok, "it is ready");
      const history = await (await fetch(`${address}/history?company=MSFT&range=15m`)).json();
      assert.deepEqual(history.avgPrice, [301]);
    });
  }

  /** @type {Record<string, [() => string, RegExp]>} */
  const faults = {
    "an unknown authority": [() => url, /self-signed certificate.*tlsCAFile in MONGODB_URL, or in NODE_EXTRA_CA_CERTS/],
    "another host": [() => database.url.replace("localhost", "127.0.0.1"), /altnames.*use hosts that the certificate/],
    "no TLS on this side": [() => url.replace("tls=true", ""), /closed.*use tls=true in MONGODB_URL/],
    "no TLS on the other side": [() => `${databaseUrl()}&tls=true`, /remove tls=true from MONGODB_URL/],
  };
  for (const [fault, [faultyUrl, says]] of Object.entries(faults)) {
    it(`says what to do about ${fault}, and goes on serving the page`, async (test) => {
      const { output, address } = await listening(test, { MONGODB_URL: faultyUrl() });
      await eventually(() => output.err.includes("unreachable"), "it says so");
      assert.match(output.err, says);
      assert.equal((await fetch(`${address}/readyz`)).status, 503);
      assert.equal((await fetch(`${address}/`)).status, 200);
    });
  }

  it("waits for a host of mongodb+srv that cannot be looked up", async (test) => {
    const { output, address } = await listening(test, { MONGODB_URL: "mongodb+srv://user:hunter2@no.such.invalid/" });
    await eventually(() => output.err.includes("unreachable"), "it says so");
    assert.match(output.err, /_mongodb\._tcp\.no\.such\.invalid/);
    assert.doesNotMatch(output.err, /hunter2/);
    assert.equal((await fetch(`${address}/readyz`)).status, 503);
  });
});
