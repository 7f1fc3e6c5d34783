/** What the load balancer makes of requests: odd ones, those of other proxies, and those that a live view refuses. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { networkInterfaces, tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { SUBPROTOCOL } from "../../page/contract.js";
import { PROTECTION } from "../../src/http.js";
import { closeAfter, crawl, eventually, exchange, openDatabase, Viewer, window } from "../support.js";
import { startLoadBalancer, startProxy, startSystem } from "./support.js";

/** @typedef {import("node:http").IncomingMessage} Request */
/** @typedef {import("node:http").ServerResponse} Response */

const NOWHERE = { MONGODB_URL: "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300" };
const UPGRADE =
  "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/**
 * Servers in the place of live views: they remember what they were asked.
 * @param {(index: number, request: Request, response: Response) => void} answer
 */
async function startFakes(answer) {
  /** @type {Request[][]} */
  const asked = [[], []];
  const servers = asked.map((requests, index) =>
    createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
      requests.push(request);
      answer(index, request, response);
    }).listen(0, "127.0.0.1"),
  );
  await Promise.all(servers.map((server) => once(server, "listening")));
  return {
    asked,
    ports: servers.map((server) => /** @type {import("node:net").AddressInfo} */ (server.address()).port),
    stop() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

/** @param {string} answer @param {string} what */
function assertProtected(answer, what) {
  const [head] = answer.split("\r\n\r\n");
  for (const [name, value] of Object.entries(PROTECTION)) {
    const values = [...head.matchAll(new RegExp(`^${name}: (.*)\r?$`, "gim"))].map(([, sent]) => sent.trim());
    assert.deepEqual(values, [value], `${name} of ${what}`);
  }
}

describe("viewers, by how current the live views are", () => {
  /** @type {Awaited<ReturnType<typeof openDatabase>>} */
  let database;
  before(async () => {
    database = await openDatabase();
    await database.store(window("MSFT", 1));
  });
  after(() => database?.close());

  it("all go to the live view that is current", async (test) => {
    const onEnd = closeAfter(test);
    const system = await startSystem(database, {}, [NOWHERE, {}]);
    onEnd(() => system.stop());
    for (let round = 0; round < 3; round += 1) {
      const viewers = await Promise.all(Array.from({ length: 10 }, () => Viewer.open(system.socketUrl, SUBPROTOCOL)));
      onEnd(() => viewers.forEach((viewer) => viewer.close()));
      await eventually(() => viewers.every((viewer) => viewer.all("alive").length > 0), "all are greeted");
      for (const viewer of viewers) {
        assert.equal(viewer.all("alive")[0].server, "liveview-2");
        assert.equal(viewer.all("alive")[0].isCurrent, true);
      }
    }
  });

  it("are told that prices are old when no live view is current, up to MAX_CONNECTIONS", async (test) => {
    const onEnd = closeAfter(test);
    const environment = { ...NOWHERE, MAX_CONNECTIONS: "2" };
    const system = await startSystem(database, {}, [environment, environment]);
    onEnd(() => system.stop());
    for (let many = 0; many < 4; many += 1) {
      const viewer = await Viewer.open(system.socketUrl, SUBPROTOCOL);
      onEnd(() => viewer.close());
      await eventually(() => viewer.all("alive").length > 0, "it is greeted");
      assert.equal(viewer.all("alive")[0].isCurrent, false);
    }
    const refused = new Viewer(system.socketUrl, { protocol: SUBPROTOCOL });
    const [, response] = await once(refused.socket, "unexpected-response");
    assert.equal(response.statusCode, 503);
  });

  it("are refused when no live view answers", async (test) => {
    const onEnd = closeAfter(test);
    const fakes = await startFakes((_, request) => request.socket.destroy());
    onEnd(() => fakes.stop());
    const balancer = await startLoadBalancer(fakes.ports);
    onEnd(() => balancer.stop());
    const refused = new Viewer(balancer.socketUrl);
    const [, response] = await once(refused.socket, "unexpected-response");
    assert.equal(response.statusCode, 503);
    assert.equal(response.headers.refresh, "2");
  });
});

describe("through the load balancer", () => {
  /** @type {Awaited<ReturnType<typeof openDatabase>>} */
  let database;
  /** @type {Awaited<ReturnType<typeof startSystem>>} */
  let system;
  before(async () => {
    database = await openDatabase();
    await database.store(window("MSFT", 1));
    system = await startSystem(database);
  });
  after(async () => {
    await system?.stop();
    await database?.close();
  });

  it("cookies of other applications on this host are no reason to refuse", async () => {
    for (const length of [9000, 30_000]) {
      const headers = { cookie: `other=${"x".repeat(length)}` };
      assert.equal((await fetch(`${system.url}/`, { headers })).status, 200);
      const viewer = new Viewer(system.socketUrl, { socket: { headers } });
      await once(viewer.socket, "open");
      viewer.close();
    }
  });

  it("HTTP/1.0 without a host is answered", async () => {
    for (const target of ["/", "/healthz", "/history?company=MSFT&range=1h"]) {
      assert.match(await exchange(system.port, `GET ${target} HTTP/1.0\r\n\r\n`), /^HTTP\/1\.1 200 /, target);
    }
  });

  it("upgrades to other protocols, and incomplete ones, are ignored", async () => {
    const ignored = [
      "Connection: Upgrade, close\r\nUpgrade: h2c",
      "Connection: Upgrade, close\r\nUpgrade: foo",
      "Connection: close\r\nUpgrade: websocket",
      "Connection: not-upgrade, close\r\nUpgrade: websocket",
    ];
    for (const headers of ignored) {
      const answer = await exchange(system.port, `GET / HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 200 /, headers);
      assert.match(answer, /<!doctype html>/, headers);
    }
  });

  it("every answer has the protection headers, once", async () => {
    const html = await (await fetch(`${system.url}/`)).text();
    const asset = html.match(/"(assets\/[^"]+app\.js)"/)?.[1];
    const tag = (await fetch(`${system.url}/`)).headers.get("etag");
    const get = (/** @type {string} */ target, more = "") =>
      `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${more}\r\n`;
    const requests = {
      200: [
        get("/"),
        get(`/${asset}`),
        get("/healthz"),
        get("/nginx-health"),
        get("/admission"),
        "GET / HTTP/1.0\r\n\r\n",
      ],
      304: [get("/", `If-None-Match: ${tag}\r\n`)],
      400: [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        get("/", "Host: y\r\n"),
        get("/history"),
        get("/", `X: ${"x".repeat(40_000)}\r\n`),
      ],
      403: [`GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n${UPGRADE}\r\n`],
      404: [get("/none"), get("/metrics"), get("/.stale"), get("/assets/0/app.js")],
      405: ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "NONE"].map(
        (method) => `${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      ),
      413: [`${get("/", "Content-Length: 5000\r\n")}${"x".repeat(5000)}`],
      414: [get(`/${"x".repeat(40_000)}`)],
    };
    for (const [status, texts] of Object.entries(requests)) {
      for (const text of texts) {
        const what = `${text.slice(0, 80)}`;
        const answer = await exchange(system.port, text);
        assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), what);
        assertProtected(answer, what);
        const allowed = answer.match(/^Allow: .*$/gim);
        assert.deepEqual(allowed?.map(String), status === "405" ? ["Allow: GET, HEAD"] : undefined, what);
      }
    }
  });
});

describe("of several live views, the load balancer", () => {
  /** @type {Awaited<ReturnType<typeof startFakes>>} */
  let fakes;
  /** @type {Awaited<ReturnType<typeof startLoadBalancer>>} */
  let balancer;
  let slow = -1;
  before(async () => {
    fakes = await startFakes((index, request, response) => {
      const path = request.url?.split("?")[0];
      if (path === "/history" && (slow === index || slow === 2)) return;
      const status = path?.startsWith("/assets/") ? 404 : 200;
      response.writeHead(status, { "x-name": `liveview-${index}`, "cache-control": "no-store" }).end("text");
    });
    balancer = await startLoadBalancer(fakes.ports);
  });
  after(async () => {
    await balancer?.stop();
    fakes?.stop();
  });

  it("keeps using one whose queries hang, for all else", async () => {
    for (const which of [0, 2]) {
      slow = which;
      const controller = new AbortController();
      const queries = Array.from({ length: 6 }, () =>
        fetch(`${balancer.url}/history?company=A&range=1h`, { signal: controller.signal }).then(
          ({ status }) => status,
          () => 0,
        ),
      );
      // NGINX gives up on a query after 3 s.
      const until = performance.now() + 5000;
      /** @type {Record<string, number>} */
      const last = {};
      while (performance.now() < until) {
        const started = performance.now();
        const pages = await Promise.all(Array.from({ length: 4 }, () => fetch(`${balancer.url}/`)));
        for (const page of pages) {
          assert.equal(page.status, 200);
          last[page.headers.get("x-name") ?? ""] = started;
        }
        for (const name of ["liveview-0", "liveview-1"]) {
          last[name] ??= started;
          assert.ok(performance.now() - last[name] < 1500, `${name} gets no requests for pages`);
        }
      }
      if (which === 0) assert.deepEqual(new Set(await Promise.all(queries)), new Set([200]), "the other one answers");
      controller.abort();
      await Promise.all(queries);
    }
    slow = -1;
  });

  it("asks each once for a file that none has", async () => {
    const asked = (/** @type {string} */ file) =>
      fakes.asked.map((requests) => requests.filter(({ url }) => url === file).length);
    for (const file of ["/assets/0123456789abcdef/app.js", "/assets/none"]) {
      assert.equal((await fetch(balancer.url + file)).status, 404);
      assert.deepEqual(asked(file), [1, 1], file);
    }
  });

  it("passes on no cookies, and no X-Forwarded headers of strangers", async () => {
    const headers = {
      cookie: "a=b",
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "stocks.example",
      "x-real-ip": "203.0.113.7",
    };
    await fetch(`${balancer.url}/stranger`, { headers });
    const got = fakes.asked.flat().find(({ url }) => url === "/stranger")?.headers ?? {};
    assert.equal(got.cookie, undefined);
    assert.equal(got["x-forwarded-for"], "127.0.0.1");
    assert.equal(got["x-real-ip"], "127.0.0.1");
    assert.equal(got["x-forwarded-proto"], "http");
    assert.equal(got["x-forwarded-host"], undefined);
    assert.equal(got.host, new URL(balancer.url).host);
  });
});

describe("behind a trusted proxy, the load balancer", () => {
  /** @type {Awaited<ReturnType<typeof startFakes>>} */
  let fakes;
  /** @type {Awaited<ReturnType<typeof startLoadBalancer>>} */
  let balancer;
  before(async () => {
    fakes = await startFakes((_, request, response) => void response.end(JSON.stringify(request.headers)));
    balancer = await startLoadBalancer(fakes.ports, {
      NGINX_TRUSTED_PROXIES: "10.0.0.0/8, 127.0.0.1",
      NGINX_UNLIMITED: "",
    });
  });
  after(async () => {
    await balancer?.stop();
    fakes?.stop();
  });

  it("tells the live view who asks, and how", async () => {
    const headers = {
      "x-forwarded-for": "198.51.100.1, 203.0.113.7, 10.0.0.9",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "stocks.example",
    };
    const got = await (await fetch(`${balancer.url}/`, { headers })).json();
    assert.equal(got["x-forwarded-for"], "203.0.113.7");
    assert.equal(got["x-forwarded-proto"], "https");
    assert.equal(got["x-forwarded-host"], "stocks.example");
    const odd = { ...headers, "x-forwarded-proto": "gopher" };
    assert.equal((await (await fetch(`${balancer.url}/`, { headers: odd })).json())["x-forwarded-proto"], "http");
  });

  it("limits each client, not the proxy", async () => {
    const ask = (/** @type {string} */ client) =>
      fetch(`${balancer.url}/history?company=A&range=1h`, { headers: { "x-forwarded-for": client } });
    /** @type {globalThis.Response[]} */
    const refused = [];
    const flood = Array.from({ length: 200 }, async () => {
      const response = await ask("203.0.113.7");
      if (response.status === 429) refused.push(response);
    });
    // The others wait meanwhile, so this client has used up its share.
    await eventually(() => refused.length > 100, "the flood is refused");
    const others = await Promise.all(Array.from({ length: 20 }, () => ask("203.0.113.8")));
    for (const { status } of others) assert.equal(status, 200, "another client");
    await Promise.all(flood);
    for (const name of Object.keys(PROTECTION)) assert.ok(refused[0].headers.get(name), name);
  });
});

describe("below a path of another proxy", () => {
  /** @type {Awaited<ReturnType<typeof openDatabase>>} */
  let database;
  /** @type {Awaited<ReturnType<typeof startSystem>>} */
  let system;
  before(async () => {
    database = await openDatabase();
    await database.store(window("MSFT", 1));
    system = await startSystem(database, { NGINX_TRUSTED_PROXIES: "127.0.0.0/8" });
  });
  after(async () => {
    await system?.stop();
    await database?.close();
  });

  const upgrade = `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`;
  const variants = {
    "that keeps the host": (/** @type {string} */ url) =>
      `location /stocks/ { proxy_pass ${url}/; proxy_set_header Host $http_host; ${upgrade} }`,
    "that replaces the host, and tells it": (/** @type {string} */ url) =>
      `location /stocks/ { proxy_pass ${url}/; proxy_set_header X-Forwarded-Host $http_host; ${upgrade} }`,
    "that leaves a slash too many": (/** @type {string} */ url) =>
      `rewrite ^/stocks$ /stocks/ permanent;
       location /stocks { proxy_pass ${url}/; proxy_set_header Host $http_host; ${upgrade} }`,
  };
  for (const [which, configuration] of Object.entries(variants)) {
    it(`${which}, the page and all that it loads are there`, async (test) => {
      const onEnd = closeAfter(test);
      const proxy = await startProxy(`location / { return 404; } ${configuration(system.url)}`);
      onEnd(() => proxy.stop());
      assert.equal((await fetch(`${proxy.url}/`)).status, 404, "the page is only below the path");
      assert.equal((await fetch(`${proxy.url}/stocks`)).url, `${proxy.url}/stocks/`);
      assert.ok((await crawl(`${proxy.url}/stocks/`)).length >= 15);
      assert.equal((await fetch(`${proxy.url}/stocks/history?company=MSFT&range=1h`)).status, 200);
      const asked = `${proxy.url}/stocks/admission?origin=${encodeURIComponent(proxy.url)}`;
      assert.equal((await (await fetch(asked)).json()).status, 101);
      const viewer = new Viewer(`${proxy.url.replace("http", "ws")}/stocks/`, { socket: { origin: proxy.url } });
      onEnd(() => viewer.close());
      await eventually(() => viewer.prices().MSFT === 1, "prices");
    });
  }
});

const ROOT = path.join(import.meta.dirname, "..", "..", "..", "..");
const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((address) => address?.address === "::1");
/** A network without IPv6, nor anything else. */
const WITHOUT_NETWORK = ["unshare", ...(process.getuid?.() === 0 ? [] : ["--map-current-user"]), "--net"];
const canUnshare = spawnSync(WITHOUT_NETWORK[0], [...WITHOUT_NETWORK.slice(1), "true"]).status === 0;

describe("addresses of the load balancer", () => {
  it("are both that localhost means", { skip: hasIpv6 ? false : "this machine has no IPv6" }, async (test) => {
    const onEnd = closeAfter(test);
    const fakes = await startFakes((_, request, response) => void response.end(request.headers["x-forwarded-for"]));
    onEnd(() => fakes.stop());
    // Not set: its own default.
    const balancer = await startLoadBalancer(fakes.ports, { NGINX_HOST: "" });
    onEnd(() => balancer.stop());
    for (const address of ["[::1]", "127.0.0.1"]) {
      const response = await fetch(`http://${address}:${balancer.port}/`);
      assert.equal(`[${await response.text()}]`.replace("[127.0.0.1]", "127.0.0.1"), address);
    }
  });

  /** @param {string[]} command @param {Record<string, string>} environment */
  const check = async ([program, ...options], environment) => {
    const env = {
      ...process.env,
      PATH: `${path.join(ROOT, ".local/tools/bin")}:${process.env.PATH}:/usr/sbin`,
      ...environment,
    };
    await promisify(execFile)(program, options, { env });
  };
  const networks = { "with this machine's network": [], "without IPv6": WITHOUT_NETWORK };
  for (const [which, prefix] of Object.entries(networks)) {
    const skip = prefix.length > 0 && !canUnshare ? "this user may not make a network" : false;

    it(`are valid ${which}, as a local process`, { skip }, async (test) => {
      const home = await mkdtemp(path.join(tmpdir(), "liveview-nginx-"));
      closeAfter(test)(() => rm(home, { recursive: true }));
      const start = path.join(ROOT, "nginx", "start-local");
      await check([...prefix, start, "-t"], { NGINX_HOME: home, NGINX_HOST: "", NGINX_PORT: "3999" });
      const listens = (await readFile(path.join(home, "nginx.conf"), "utf8")).match(/listen \S+/g);
      const expected = ["listen 127.0.0.1:3999", ...(prefix.length === 0 && hasIpv6 ? ["listen [::1]:3999"] : [])];
      assert.deepEqual(listens, expected);
    });

    it(`are valid ${which}, in a container`, { skip }, async (test) => {
      const home = await mkdtemp(path.join(tmpdir(), "liveview-nginx-"));
      closeAfter(test)(() => rm(home, { recursive: true }));
      await mkdir(path.join(home, "tmp"));
      for (const name of ["core.conf", "site.conf"])
        await copyFile(path.join(ROOT, "nginx", name), path.join(home, name));
      const configuration = (await readFile(path.join(ROOT, "nginx", "container.conf"), "utf8"))
        // Outside of a container the live views' names are unknown, and the prefix is another folder.
        .replaceAll(/server [a-z0-9]+:(\d+) resolve/g, "server 127.0.0.1:$1")
        .replaceAll("/run/nginx/", `${home}/`)
        .replace("/dev/stdout", "access.log");
      await writeFile(path.join(home, "nginx.conf"), configuration);
      const start = path.join(ROOT, "nginx", "start-container");
      const environment = { NGINX_HOME: home, NGINX_TRUSTED_PROXIES: "10.0.0.0/8 fd00::/8" };
      await check([...prefix, "bash", start, path.join(home, "nginx.conf"), "3999", "-t"], environment);
      const listens = await readFile(path.join(home, "listen.conf"), "utf8");
      assert.equal(listens, prefix.length === 0 && hasIpv6 ? "listen [::]:3999 backlog=4096;\n" : "");
      await assert.rejects(
        check(["bash", start, path.join(home, "nginx.conf"), "3999", "-t"], {
          ...environment,
          NGINX_TRUSTED_PROXIES: "all;",
        }),
        /NGINX_TRUSTED_PROXIES must be addresses and networks/,
      );
    });
  }
});
