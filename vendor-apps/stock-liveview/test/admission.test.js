/** Who may open a WebSocket, and who asks when proxies are in between. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Admission } from "../src/admission.js";
import { ConfigError, readConfig } from "../src/config.js";
import { clientOf, hostsOf } from "../src/proxies.js";

const SITUATION = { isStopping: false, isCurrent: true, state: "change stream", open: 0 };

/** @param {Partial<import("../src/admission.js").Situation>} [situation] @param {Record<string, string>} [environment] */
const admission = (situation, environment = {}) =>
  new Admission(readConfig(environment), () => ({ ...SITUATION, ...situation }));

/** @param {string} address  of the connection @param {Record<string, string>} headers */
const request = (address, headers) =>
  /** @type {import("node:http").IncomingMessage} */ (
    /** @type {unknown} */ ({ headers, socket: { remoteAddress: address } })
  );

describe("a page", () => {
  /** @param {string} origin @param {string[]} hosts */
  const status = (origin, ...hosts) => admission().judge({ origin, hosts }).status;

  it("is welcome at the host that it comes from, with or without the default port", () => {
    assert.equal(status("http://localhost:3000", "localhost:3000"), 101);
    assert.equal(status("http://[::1]:3000", "[::1]:3000"), 101);
    assert.equal(status("https://stocks.example", "stocks.example"), 101);
    assert.equal(status("https://stocks.example", "stocks.example:443"), 101);
    assert.equal(status("http://stocks.example", "stocks.example:80"), 101);
    assert.equal(status("https://stocks.example", "Stocks.Example"), 101);
    assert.equal(status("https://stocks.example:8443", "10.0.0.1:3000", "stocks.example:8443"), 101, "behind a proxy");
  });

  it("is refused at another host or port", () => {
    for (const origin of [
      "http://localhost:8080",
      "http://localhost",
      "https://localhost.example:3000",
      "null",
      "",
      "x",
    ])
      assert.equal(status(origin, "localhost:3000"), 403, origin);
    assert.equal(status("https://stocks.example", "stocks.example:80"), 403);
    assert.equal(status("https://stocks.example", ""), 403);
  });

  it("is told why, at a bounded length", () => {
    const { reason } = admission().judge({ origin: `https://${"x".repeat(5000)}`, hosts: ["h"] });
    assert.match(reason, /ALLOWED_ORIGINS/);
    assert.ok(reason.length < 400);
  });

  it("that is stale is said to be so only when the data is", () => {
    const candidate = { origin: undefined, hosts: ["h"], takesStale: true };
    assert.deepEqual(admission().judge(candidate), { status: 101, reason: "welcome", isStale: false });
    const away = admission({ isCurrent: false, state: "unreachable" });
    assert.equal(away.judge(candidate).isStale, true);
    assert.match(away.judge({ ...candidate, takesStale: false }).reason, /its database does not answer/);
    assert.equal(admission({ isStopping: true }).judge(candidate).status, 503);
    assert.equal(admission({ open: 7 }, { MAX_CONNECTIONS: "7" }).judge(candidate).status, 503);
  });
});

describe("proxies", () => {
  /** @param {string} address @param {Record<string, string>} headers @param {string} [trusted] */
  const client = (address, headers, trusted = "") =>
    clientOf(request(address, headers), readConfig({ TRUSTED_PROXIES: trusted }).trustedProxies);

  it("in private networks tell the client's address, and no other does", () => {
    const headers = { "x-forwarded-for": "203.0.113.7" };
    for (const proxy of ["127.0.0.1", "::ffff:127.0.0.1", "::1", "10.1.2.3", "172.20.0.5", "192.168.7.7", "fd00::1"])
      assert.equal(client(proxy, headers), "203.0.113.7", proxy);
    for (const stranger of ["203.0.113.9", "2001:db8::1", "172.32.0.1", "::ffff:203.0.113.9"])
      assert.equal(client(stranger, headers), stranger);
  });

  it("that are not trusted end the chain", () => {
    const chain = { "x-forwarded-for": "198.51.100.1, 203.0.113.7, 10.0.0.9" };
    assert.equal(client("127.0.0.1", chain), "203.0.113.7", "what a stranger says of its client does not count");
    assert.equal(client("127.0.0.1", chain, "127.0.0.1"), "10.0.0.9");
    assert.equal(client("127.0.0.1", chain, "private, 203.0.113.0/24"), "198.51.100.1");
    assert.equal(client("127.0.0.1", chain, "none"), "127.0.0.1");
    assert.equal(client("127.0.0.1", { "x-forwarded-for": "unknown, 10.0.0.9" }), "10.0.0.9");
  });

  it("tell the host only if they are trusted", () => {
    const headers = { host: "liveview:3000", "x-forwarded-host": "stocks.example, inner" };
    const { trustedProxies } = readConfig({});
    assert.deepEqual(hostsOf(request("10.0.0.1", headers), trustedProxies), [
      "liveview:3000",
      "stocks.example",
      "inner",
    ]);
    assert.deepEqual(hostsOf(request("203.0.113.9", headers), trustedProxies), ["liveview:3000"]);
  });

  it("are addresses and networks, or the configuration is wrong", () => {
    for (const wrong of ["proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "::1/129", "10.0.0", "*", "10.0.0.0/x"]) {
      assert.throws(() => readConfig({ TRUSTED_PROXIES: wrong }), ConfigError, wrong);
    }
  });
});
