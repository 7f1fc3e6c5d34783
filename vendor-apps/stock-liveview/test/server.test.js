/** The live view as browsers meet it, against a real replica set. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { SUBPROTOCOL } from "../page/contract.js";
import {
  crawl,
  eventually,
  exchange,
  measureSlowness,
  openDatabase,
  SYMBOLS,
  startLiveview,
  Viewer,
  window,
} from "./support.js";

/** @typedef {Awaited<ReturnType<typeof openDatabase>>} Database */
/** @typedef {Awaited<ReturnType<typeof startLiveview>>} Liveview */

/** Runs with a database and a live view of its own. @param {(parts: {database: Database, liveview: Liveview}) => Promise<void>} run @param {Record<string, string>} [environment] */
const withLiveview = (run, environment) => async () => {
  const database = await openDatabase();
  try {
    const liveview = await startLiveview(database, environment);
    try {
      await run({ database, liveview });
    } finally {
      await liveview.stop();
    }
  } finally {
    await database.close();
  }
};

/** Headers that every answer has. */
const PROTECTION = [
  "content-security-policy",
  "x-content-type-options",
  "x-frame-options",
  "referrer-policy",
  "permissions-policy",
  "cross-origin-opener-policy",
  "cross-origin-resource-policy",
];

/** @param {string} url */
async function metric(url, /** @type {string} */ name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(new RegExp(`^liveview_${name} (\\S+)$`, "m"))?.[1]);
}

describe("over HTTP, the live view", () => {
  /** @type {Database} */
  let database;
  /** @type {Liveview} */
  let liveview;
  before(async () => {
    database = await openDatabase();
    await database.store(window("MSFT", 300), window("MSFT", 301));
    liveview = await startLiveview(database);
  });
  after(async () => {
    await liveview?.stop();
    await database?.close();
  });

  it("serves the page, and its files under paths that can be cached for ever", async () => {
    const page = await fetch(`${liveview.url}/`);
    assert.equal(page.headers.get("cache-control"), "no-cache");
    const html = await page.text();
    const files = [...html.matchAll(/(?:href|src)="(assets\/[^"]+)"/g)].map(([, path]) => path);
    assert.ok(files.length >= 5, html);
    for (const file of files) {
      const response = await fetch(`${liveview.url}/${file}`);
      assert.equal(response.status, 200, file);
      assert.match(response.headers.get("cache-control") ?? "", /immutable/);
      assert.match(file, /^assets\/[0-9a-f]{16}\//);
    }
  });

  it("answers 304 when the browser has the page already, also with a weak entity tag", async () => {
    const tag = (await fetch(`${liveview.url}/`)).headers.get("etag") ?? "";
    for (const known of [tag, `W/${tag}`, `"other", ${tag}`]) {
      const response = await fetch(`${liveview.url}/`, { headers: { "if-none-match": known } });
      assert.equal(response.status, 304, known);
    }
  });

  it("answers 404 for other paths, and 405 for methods other than GET and HEAD", async () => {
    for (const path of [
      "/nothing",
      "/assets/app.js",
      "/assets/0000000000000000/app.js",
      "/assets/../app.js",
      "/recent/x",
    ]) {
      assert.equal((await fetch(liveview.url + path)).status, 404, path);
    }
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      assert.equal((await fetch(`${liveview.url}/`, { method })).status, 405, method);
    }
    assert.equal((await fetch(`${liveview.url}/`, { method: "HEAD" })).status, 200);
  });

  it("answers as proxies ask: with a slash too many, or the whole address", async () => {
    const html = await (await fetch(`${liveview.url}/`)).text();
    const file = html.match(/"(assets\/[^"]+app\.js)"/)?.[1];
    for (const target of ["//", `//${file}`, "http://stocks.example/", "//healthz", "http://stocks.example"]) {
      const answer = await exchange(liveview.port, `GET ${target} HTTP/1.0\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 200 /, target);
    }
  });

  it("names all addresses of the page relative to the page", async () => {
    const seen = await crawl(`${liveview.url}/`);
    assert.ok(seen.length >= 15, `${seen}`);
    for (const text of seen) assert.doesNotMatch(text, /(href|src)=["']?\/|url\(["']?\/|(from|import) ["']\//);
  });

  it("sends the protection headers with every answer, also to what it cannot parse", async () => {
    const html = await (await fetch(`${liveview.url}/`)).text();
    const file = html.match(/"(assets\/[^"]+app\.js)"/)?.[1];
    const tag = (await fetch(`${liveview.url}/`)).headers.get("etag");
    const get = (/** @type {string} */ target, more = "") =>
      `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${more}\r\n`;
    const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const requests = {
      200: [
        get("/"),
        get(`/${file}`),
        get("/healthz"),
        get("/readyz"),
        get("/startedz"),
        get("/metrics"),
        get("/admission"),
        get("/recent?company=MSFT&limit=9"),
        get("/past?ago=5m"),
      ],
      304: [get("/", `If-None-Match: ${tag}\r\n`)],
      400: [
        get("/history"),
        get("/recent"),
        get("/past"),
        "GET / HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
        `GET / HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`,
      ],
      403: [`GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n${upgrade}${key}\r\n`],
      404: [get("/none"), `GET /none HTTP/1.1\r\nHost: x\r\n${upgrade}${key}\r\n`],
      405: ["POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"],
      431: [get(`/${"x".repeat(200_000)}`)],
    };
    for (const [status, texts] of Object.entries(requests)) {
      for (const text of texts) {
        const answer = await exchange(liveview.port, text);
        const what = `${text.slice(0, 60)}\n${answer.slice(0, 1000)}`;
        assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), what);
        for (const name of PROTECTION) {
          assert.equal(answer.match(new RegExp(`^${name}: `, "gim"))?.length, 1, `${name} once: ${what}`);
        }
        if (status === "405") assert.match(answer, /^allow: GET, HEAD\r$/im);
      }
    }
  });

  it("takes the cookies that other applications on this host have set", async () => {
    const cookie = `other=${"x".repeat(30_000)}`;
    assert.equal((await fetch(`${liveview.url}/`, { headers: { cookie } })).status, 200);
    const viewer = new Viewer(liveview.socketUrl, { socket: { headers: { cookie } } });
    await once(viewer.socket, "open");
    viewer.close();
  });

  it("ignores upgrades to other protocols, as HTTP asks", async () => {
    for (const protocol of ["h2c", "foo", "TLS/1.2", "h2c, websocket"]) {
      for (const [path, status] of Object.entries({ "/": 200, "/healthz": 200, "/none": 404 })) {
        const text = `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`;
        const answer = await exchange(liveview.port, text);
        assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), `${protocol} ${path}`);
        assert.match(answer, /^connection: close\r$/im);
        const length = Number(answer.match(/^content-length: (\d+)/im)?.[1]);
        assert.equal(Buffer.byteLength(answer.slice(answer.indexOf("\r\n\r\n") + 4)), length, "the whole answer");
      }
    }
  });

  it("serves its health, readiness and metrics", async () => {
    assert.equal((await fetch(`${liveview.url}/healthz`)).status, 200);
    assert.equal(await (await fetch(`${liveview.url}/readyz`)).text(), "ready: change stream\n");
    assert.equal(await metric(liveview.url, "companies"), 1);
    assert.equal(await metric(liveview.url, "averages_total"), 2);
    assert.equal(await metric(liveview.url, "averages_total"), 2, "asking twice adds nothing");
  });

  it("serves a company's history", async () => {
    const history = await (await fetch(`${liveview.url}/history?company=MSFT&range=15m`)).json();
    assert.deepEqual(history.avgPrice, [300, 301]);
    assert.deepEqual(history.buy, [300.5, 301.5]);
    const none = await (await fetch(`${liveview.url}/history?company=NONE&range=15m`)).json();
    assert.deepEqual(none.time, []);
  });

  it("serves the history of a company with any symbol", async () => {
    await database.store(...SYMBOLS.map((symbol, index) => window(symbol, index)));
    for (const [index, symbol] of SYMBOLS.entries()) {
      const query = `company=${encodeURIComponent(symbol)}&range=15m`;
      const { company, avgPrice } = await (await fetch(`${liveview.url}/history?${query}`)).json();
      assert.equal(company, symbol);
      assert.deepEqual(avgPrice, [index], symbol);
    }
    await database.collection.deleteMany({ company: { $in: SYMBOLS } });
  });

  it("answers 400 to an invalid query", async () => {
    const long = "A".repeat(65);
    for (const query of [
      "",
      "company=A",
      "company=A&range=1y",
      "range=1h",
      `company=${long}&range=1h`,
      "company=A&range=__proto__",
    ]) {
      assert.equal((await fetch(`${liveview.url}/history?${query}`)).status, 400, query);
    }
  });
});

describe("to browsers, the live view", () => {
  it(
    "sends the original page the newest average of every company, and nothing else",
    withLiveview(async ({ database, liveview }) => {
      await database.store(window("TSLA", 200), window("MSFT", 300), window("MSFT", 301));
      const viewer = await Viewer.open(liveview.socketUrl);
      await eventually(() => viewer.prices().TSLA === 200, "prices on connect");
      await database.store(window("AAPL", 150), window("TSLA", 201));
      await eventually(() => viewer.prices().AAPL === 150, "prices as they come");
      assert.deepEqual(viewer.prices(), { AAPL: 150, MSFT: 301, TSLA: 201 });
      assert.deepEqual(Object.keys(viewer.prices()), ["AAPL", "MSFT", "TSLA"], "sorted");
      assert.deepEqual([...new Set(viewer.messages.map(({ type }) => type))], ["prices"]);
      viewer.close();
    }),
  );

  it(
    "sends our page the newest averages on connect, then each new one once",
    withLiveview(async ({ database, liveview }) => {
      await database.store(window("MSFT", 1), window("MSFT", 2));
      await eventually(async () => (await metric(liveview.url, "averages_total")) === 2, "both are known");
      const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
      await eventually(() => viewer.told("MSFT").length === 1, "the market");
      assert.equal(viewer.all("alive")[0].server, "one");
      assert.equal(viewer.all("alive")[0].isCurrent, true);
      assert.match((await (await fetch(liveview.url)).text()) ?? "", new RegExp(viewer.all("alive")[0].version));
      for (const price of [3, 4, 5]) await database.store(window("MSFT", price));
      await eventually(() => viewer.told("MSFT").length === 4, "averages");
      assert.deepEqual(viewer.told("MSFT"), [2, 3, 4, 5]);
      assert.equal(viewer.all("market").length, 1);
      viewer.close();
    }),
  );

  it(
    "merges updates to at most one message in 100 ms, and loses none of them",
    withLiveview(async ({ database, liveview }) => {
      const plain = await Viewer.open(liveview.socketUrl);
      const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
      for (let price = 0; price < 200; price += 1) await database.store(window("MSFT", price));
      await eventually(() => viewer.told("MSFT").length === 200, "all are told");
      assert.deepEqual(
        viewer.told("MSFT"),
        Array.from({ length: 200 }, (_, index) => index),
      );
      await eventually(() => plain.prices().MSFT === 199, "the last price");
      for (const [who, type] of /** @type {const} */ ([
        [viewer, "averages"],
        [plain, "prices"],
      ])) {
        const times = who.times.filter((_, index) => who.messages[index].type === type);
        const seconds = (Number(times.at(-1)) - times[0]) / 1000;
        // The first and the last may each be late on their way here, so that those between seem closer.
        assert.ok(times.length <= seconds * 10 + 3, `${times.length} ${type} in ${seconds} s`);
      }
      plain.close();
      viewer.close();
    }),
  );

  it(
    "sends a heartbeat twice a second, so that a frozen live view is noticed",
    withLiveview(async ({ liveview }) => {
      const plain = await Viewer.open(liveview.socketUrl);
      const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
      const slowness = measureSlowness();
      await eventually(() => viewer.times.length >= 5 && plain.pings >= 3, "both viewers hear from the live view");
      const gaps = viewer.times.slice(1).map((time, index) => time - viewer.times[index]);
      assert.ok(Math.max(...gaps) < 1000 * slowness(), `${gaps.map(Math.round)} ms`);
      assert.deepEqual(plain.all("alive"), [], "the original page does not know this message");
      plain.close();
      viewer.close();
    }),
  );

  it(
    "shows other consumers' averages, and skips invalid documents",
    withLiveview(async ({ database, liveview }) => {
      const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
      await database.store(
        { company: "BARE", avgPrice: 12.5 },
        { company: "BARE" },
        { avgPrice: 1 },
        { company: 7, avgPrice: 1 },
        { company: ["X", "Y"], avgPrice: 1 },
        { company: "NAN", avgPrice: Number.NaN },
        { company: { $gt: "" }, avgPrice: 1 },
        { company: "DEEP", avgPrice: { a: { b: 1 } } },
        {},
        { _id: 7, company: "NUMBER", avgPrice: 1, time: "x" },
        { _id: "text", company: "TEXT", avgPrice: 2, closedAt: "never" },
        window("FULL", 300),
      );
      await eventually(() => viewer.told("FULL").length === 1, "the last one is shown");
      const plain = await Viewer.open(liveview.socketUrl);
      await eventually(() => plain.messages.length > 0, "prices");
      assert.deepEqual(plain.prices(), { BARE: 12.5, FULL: 300, NUMBER: 1, TEXT: 2 });
      assert.equal(await metric(liveview.url, "documents_skipped_total"), 8);
      const again = await startLiveview(database);
      assert.equal(await metric(again.url, "companies"), 4, "one that starts now shows the same");
      await again.stop();
      viewer.close();
      plain.close();
    }),
  );

  it(
    "sends companies with any symbol, in the page's order",
    withLiveview(async ({ database, liveview }) => {
      await database.store(...SYMBOLS.toReversed().map((symbol, index) => window(symbol, index)));
      const plain = await Viewer.open(liveview.socketUrl);
      const names = () =>
        plain
          .all("prices")
          .at(-1)
          ?.prices.map((/** @type {any} */ { company }) => company);
      await eventually(() => names()?.length === SYMBOLS.length, "all of them");
      assert.deepEqual(names(), SYMBOLS);
      plain.close();
    }),
  );

  it(
    "sends markup in a company's name as plain text",
    withLiveview(async ({ database, liveview }) => {
      const name = "<img src=x onerror=alert(1)>";
      await database.store(window(name, 1));
      const plain = await Viewer.open(liveview.socketUrl);
      await eventually(() => plain.prices()[name] === 1, "the name as it is");
      plain.close();
    }),
  );

  it(
    "drops deleted averages, and starts again when the collection is dropped",
    withLiveview(async ({ database, liveview }) => {
      await database.store(window("MSFT", 1), window("TSLA", 2));
      const plain = await Viewer.open(liveview.socketUrl);
      await eventually(() => plain.prices().TSLA === 2, "both");
      await database.collection.deleteMany({ company: "TSLA" });
      await eventually(() => !("TSLA" in plain.prices()), "one");
      await database.collection.drop();
      await eventually(() => plain.messages.at(-1).prices.length === 0, "none");
      await database.store(window("AAPL", 3));
      await eventually(() => plain.prices().AAPL === 3, "a new one");
      plain.close();
    }),
  );
});

describe("against faulty clients, the live view", () => {
  it(
    "closes a connection that sends a message, and keeps the others",
    withLiveview(async ({ database, liveview }) => {
      const good = await Viewer.open(liveview.socketUrl);
      const garbage = ["hello", '{"type":"prices","prices":[]}', Buffer.alloc(512, 7), "x".repeat(1_000_000)];
      for (const text of garbage) {
        const bad = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
        bad.socket.send(text);
        await eventually(() => bad.closeCode !== undefined, `closed after ${String(text).slice(0, 20)}`);
        assert.ok([1008, 1009, 1006].includes(Number(bad.closeCode)), `code ${bad.closeCode}`);
      }
      await database.store(window("MSFT", 5));
      await eventually(() => good.prices().MSFT === 5, "the good one is still served");
      assert.equal(good.closeCode, undefined);
      good.close();
    }),
  );

  it(
    "survives bytes that are neither WebSocket nor HTTP",
    withLiveview(async ({ liveview }) => {
      const upgrade =
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
      const attacks = [
        "\x00\x01\x02\r\n\r\n",
        "GET /\r\n\r\n",
        `GET /${"x".repeat(100_000)} HTTP/1.1\r\n\r\n`,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        `${upgrade}\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff`,
        `${upgrade}\x81\x05hello`,
      ];
      for (const bytes of attacks) {
        const socket = connect(liveview.port, "127.0.0.1");
        socket.on("error", () => {});
        socket.resume();
        socket.write(Buffer.from(bytes, "latin1"));
        await eventually(() => socket.closed, `closed after ${JSON.stringify(bytes.slice(0, 30))}`, 3000);
      }
      assert.equal((await fetch(`${liveview.url}/healthz`)).status, 200);
    }),
  );

  it(
    "accepts MAX_CONNECTIONS browsers, and refuses the next with 503",
    withLiveview(
      async ({ liveview }) => {
        const viewers = await Promise.all([1, 2, 3].map(() => Viewer.open(liveview.socketUrl)));
        const refused = new Viewer(liveview.socketUrl);
        const [, response] = await once(refused.socket, "unexpected-response");
        assert.equal(response.statusCode, 503);
        viewers[0].close();
        await eventually(async () => (await metric(liveview.url, "connections")) === 2, "one has gone");
        viewers[0] = await Viewer.open(liveview.socketUrl);
        for (const viewer of viewers) viewer.close();
      },
      { MAX_CONNECTIONS: "3" },
    ),
  );

  it(
    "destroys the connections of refused browsers, whether or not they read and close",
    withLiveview(
      async ({ liveview }) => {
        const viewer = await Viewer.open(liveview.socketUrl);
        const good = `GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n`;
        const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        const requests = [
          `${good}${key}\r\n`,
          `${good}\r\n`,
          `${good}${key}Origin: https://evil.example\r\n\r\n`,
          `${good.replace("/ ", "/other ")}${key}\r\n`,
          `${good.replace("websocket", "h2c")}\r\n`,
          "nonsense\r\n\r\n",
        ];
        const sockets = Array.from({ length: 200 }, (_, index) => {
          const socket = connect({ port: liveview.port, host: "127.0.0.1", allowHalfOpen: true });
          socket.on("error", () => {});
          if (index % 2 === 0) socket.resume();
          socket.write(requests[index % requests.length]);
          return socket;
        });
        // A write tells whether the other side is still there: it answers one to a destroyed connection with a reset.
        const poking = setInterval(() => {
          for (const socket of sockets) if (!socket.destroyed) socket.write("x");
        }, 100);
        try {
          await eventually(() => sockets.every(({ destroyed }) => destroyed), "all are destroyed", 5000);
        } finally {
          clearInterval(poking);
          for (const socket of sockets) socket.destroy();
        }
        assert.equal(viewer.closeCode, undefined);
        viewer.close();
      },
      { MAX_CONNECTIONS: "1" },
    ),
  );

  it(
    "refuses other origins and other paths",
    withLiveview(
      async ({ liveview }) => {
        /** @param {string} url @param {string} [origin] */
        const answer = async (url, origin) => {
          const viewer = new Viewer(url, { socket: origin ? { origin } : {} });
          const status = await Promise.race([
            once(viewer.socket, "open").then(() => 101),
            once(viewer.socket, "unexpected-response").then(([, { statusCode }]) => statusCode),
          ]);
          viewer.close();
          return status;
        };
        assert.equal(await answer(liveview.socketUrl, liveview.url), 101);
        assert.equal(await answer(liveview.socketUrl, "https://stocks.example"), 101, "allowed by ALLOWED_ORIGINS");
        assert.equal(await answer(liveview.socketUrl), 101, "no browser");
        assert.equal(await answer(liveview.socketUrl, "https://evil.example"), 403);
        assert.equal(await answer(liveview.socketUrl, "null"), 403);
        assert.equal(await answer(`${liveview.socketUrl}other`), 404);
      },
      { ALLOWED_ORIGINS: "https://stocks.example" },
    ),
  );

  it(
    "logs a refused origin once, and few of many",
    withLiveview(async ({ liveview }) => {
      const refused = async (/** @type {string} */ origin) => {
        const viewer = new Viewer(liveview.socketUrl, { socket: { origin } });
        const [, response] = await once(viewer.socket, "unexpected-response");
        viewer.close();
        return response.statusCode;
      };
      for (let many = 0; many < 3; many += 1) assert.equal(await refused("https://evil.example"), 403);
      for (let many = 0; many < 20; many += 1) await refused(`https://evil${many}.example`);
      const lines = liveview.lines.map((line) => JSON.parse(line)).filter(({ origin }) => origin);
      assert.equal(lines[0].origin, "https://evil.example");
      assert.equal(lines[0].level, "warn");
      assert.match(lines[0].message, /ALLOWED_ORIGINS/);
      assert.match(lines[0].client, /127\.0\.0\.1$/);
      assert.ok(lines.length <= 2, `${lines.length} lines`);
    }),
  );

  it(
    "says why a page of some origin is refused, or that it is welcome",
    withLiveview(
      async ({ liveview }) => {
        const ask = async (/** @type {string} */ origin, headers = {}) =>
          (await fetch(`${liveview.url}/admission?origin=${encodeURIComponent(origin)}`, { headers })).json();
        assert.equal((await ask(liveview.url)).status, 101);
        const foreign = await ask("https://evil.example");
        assert.equal(foreign.status, 403);
        assert.match(foreign.reason, /https:\/\/evil\.example.*ALLOWED_ORIGINS/);
        const viewer = await Viewer.open(liveview.socketUrl);
        const full = await ask(liveview.url);
        assert.equal(full.status, 503);
        assert.match(full.reason, /MAX_CONNECTIONS is 1/);
        const refused = new Viewer(`${liveview.socketUrl}?stale`);
        const [, response] = await once(refused.socket, "unexpected-response");
        assert.equal(response.statusCode, 503, "those who take old prices are no exception");
        viewer.close();
      },
      { MAX_CONNECTIONS: "1" },
    ),
  );

  it(
    "refuses viewers while it is not current, except those who take old prices",
    withLiveview(async () => {
      const liveview = await startLiveview(
        { url: "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300", name: "none" },
        {},
        { isReady: false },
      );
      try {
        const refused = new Viewer(liveview.socketUrl);
        const [, response] = await once(refused.socket, "unexpected-response");
        assert.equal(response.statusCode, 503);
        response.setEncoding("utf8");
        const [reason] = await once(response, "data");
        assert.match(reason, /not current: (it is still connecting to its database|its database does not answer)/);
        const told = await (await fetch(`${liveview.url}/admission?origin=${liveview.url}`)).json();
        assert.equal(told.status, 503);
        assert.match(told.reason, /not current/);
        for (const query of ["?stale", "?stale=1", "?x=1&stale"]) {
          const viewer = await Viewer.open(liveview.socketUrl + query);
          viewer.close();
        }
      } finally {
        await liveview.stop();
      }
    }),
  );

  it(
    "keeps browsers fast beside one that does not read, and brings that one up to date later",
    withLiveview(async ({ database, liveview }) => {
      const slow = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
      const quick = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
      slow.socket.pause();
      // Long names of many companies: what the kernel's buffers take is soon written.
      const round = (/** @type {number} */ price) =>
        database.store(...Array.from({ length: 400 }, (_, index) => window(`${index}-${"x".repeat(50)}`, price)));
      let price = 0;
      while ((await metric(liveview.url, "updates_left_out_total")) === 0) {
        assert.ok(price < 600, "the slow one is left out at some time");
        for (let many = 0; many < 5; many += 1) await round((price += 1));
      }
      const name = `7-${"x".repeat(50)}`;
      await eventually(() => quick.told(name).at(-1) === price, "the quick one is up to date");
      assert.ok((await metric(liveview.url, "unread_bytes")) < 2_000_000, "what waits for the slow one is bounded");
      slow.socket.resume();
      await round((price += 1));
      await eventually(() => slow.told(name).at(-1) === price, "the slow one has caught up");
      assert.equal(slow.closeCode, undefined);
      slow.close();
      quick.close();
    }),
  );
});

describe("a thousand browsers", () => {
  it(
    "all receive every average, soon",
    withLiveview(async ({ database, liveview }) => {
      const viewers = await Promise.all(
        Array.from({ length: 1000 }, (_, index) =>
          Viewer.open(liveview.socketUrl, index % 2 ? SUBPROTOCOL : undefined),
        ),
      );
      assert.equal(await metric(liveview.url, "connections"), 1000);
      for (const price of [1, 2, 3, 4, 5]) {
        await database.store(window("MSFT", price));
        await sleep(150);
      }
      await eventually(
        () => viewers.every((viewer) => viewer.prices().MSFT === 5 || viewer.told("MSFT").length === 5),
        "all have all of them",
        5000,
      );
      for (const viewer of viewers) viewer.close();
      await eventually(async () => (await metric(liveview.url, "connections")) === 0, "all are forgotten");
    }),
  );
});

describe("stopping, the live view", () => {
  it("tells browsers to reconnect elsewhere, and ends within 5 s even when one does not answer", async () => {
    const database = await openDatabase();
    const liveview = await startLiveview(database);
    const viewer = await Viewer.open(liveview.socketUrl, SUBPROTOCOL);
    const deaf = await Viewer.open(liveview.socketUrl);
    deaf.socket.pause();
    const [started, slowness] = [performance.now(), measureSlowness()];
    await liveview.stop();
    assert.ok(performance.now() - started < 5000 * slowness(), `${performance.now() - started} ms`);
    await eventually(() => viewer.closeCode === 1001, "close code 1001");
    await assert.rejects(fetch(`${liveview.url}/healthz`));
    deaf.close();
    await database.close();
  });
});
