/**
 * The live view: database → feed → market → audience → browsers, and plain HTTP beside it. The library's one entry;
 * app.js only reads the configuration and handles signals.
 */
import { once } from "node:events";
import { createServer, ServerResponse } from "node:http";
import { MongoClient } from "mongodb";
import { WebSocketServer } from "ws";
import { SUBPROTOCOL, SUBPROTOCOL_FAMILY } from "../page/contract.js";
import { Admission, RefusedOrigins } from "./admission.js";
import { loadAssets } from "./assets.js";
import { Audience } from "./audience.js";
import { Feed } from "./feed.js";
import { History } from "./history.js";
import { createHandler, plainAnswer, targetOf } from "./http.js";
import { LastAnswers } from "./last-answers.js";
import { Market } from "./market.js";
import { createMetrics } from "./metrics.js";
import { recentAnswer } from "./recent.js";
import { clientOf, hostsOf } from "./proxies.js";

/** @typedef {import("./config.js").Config} Config */
/** @typedef {import("./log.js").Log} Log */
/** @typedef {import("node:stream").Duplex} Duplex */

/** Time for browsers to answer the close before their connections are cut. */
const FAREWELL_MS = 2000;
/** Longer than the load balancer keeps idle connections (60 s), so that it never uses one that is being closed. */
const KEEP_ALIVE_MS = 75_000;
/** As much as the load balancer takes: cookies of other applications on the same host may be long. */
const MAX_HEADER_BYTES = 128 * 1024;
/** Time for a client to read the whole answer to a request with an upgrade that is ignored. */
const PLAIN_ANSWER_MS = 30_000;

/** Status codes for what Node.js cannot parse; otherwise 400. @type {Readonly<Record<string, number>>} */
const FAULTS = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * @typedef {object} Running
 * @property {number} port            where it listens
 * @property {() => boolean} isReady
 * @property {() => Promise<void>} stop  tells browsers to move on, resolves within 5 s
 */

/**
 * Starts a live view. It listens at once and waits for the database for as long as it takes.
 * @param {Config} config
 * @param {Log} log
 * @returns {Promise<Running>}
 * @throws when it cannot listen
 */
export async function start(config, log) {
  const client = new MongoClient(config.mongodbUrl, {
    appName: "stock-liveview",
    serverSelectionTimeoutMS: 3000,
    connectTimeoutMS: 3000,
    // Gives up on a frozen member. Every query has a shorter limit of its own.
    socketTimeoutMS: 5000,
    heartbeatFrequencyMS: 2000,
    minHeartbeatFrequencyMS: 250,
    maxPoolSize: 12,
  });
  const collection = client.db(config.mongodbDb).collection(config.mongodbCollection);
  const market = new Market();
  const feed = new Feed(collection, market, log);
  const assets = await loadAssets();
  const audience = new Audience(market, () => ({
    server: config.name,
    version: assets.version,
    isCurrent: feed.isCurrent,
    lagMs: feed.lagMs,
    hiddenCompanies: market.hiddenCompanies,
  }));
  const connections = { refused: 0 };

  const history = new History(collection, log, market);
  const lastAnswers = new LastAnswers();
  const refusedOrigins = new RefusedOrigins(log);
  let isStopping = false;
  const admission = new Admission(config, () => ({
    isStopping,
    isCurrent: feed.isCurrent,
    state: feed.state,
    open: audience.size,
  }));

  const handler = createHandler({
    assets,
    isReady: () => feed.isCurrent,
    state: () => feed.state,
    metrics: createMetrics({ feed, market, audience, connections }),
    history: (query) => history.answer(query),
    recent: (query) => Promise.resolve(recentAnswer(market, query)),
    past: (query) => history.past(query),
    admission: (request, query) => {
      const hosts = hostsOf(request, config.trustedProxies);
      const { status, reason } = admission.judge({ origin: query.get("origin") ?? undefined, hosts });
      return { status, reason };
    },
  });
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: 10_000,
      headersTimeout: 10_000,
      maxHeaderSize: MAX_HEADER_BYTES,
      // The handler checks it, so that this answer has the headers of the others.
      requireHostHeader: false,
    },
    handler,
  );
  server.on("checkExpectation", handler);
  server.on("clientError", (/** @type {NodeJS.ErrnoException} */ error, socket) => {
    if (!socket.writable) socket.destroy();
    else lastAnswers.send(socket, plainAnswer(FAULTS[error.code ?? ""] ?? 400, "this is no valid HTTP request"));
  });

  const sockets = new WebSocketServer({
    noServer: true,
    // Browsers send no messages. A longer one closes the connection unread.
    maxPayload: 1024,
    // Prices of many companies shrink to a third. Each message stands alone: so an idle connection costs no memory.
    perMessageDeflate: {
      threshold: 4096,
      serverNoContextTakeover: true,
      clientNoContextTakeover: true,
      concurrencyLimit: 4,
      zlibDeflateOptions: { level: 4, memLevel: 8 },
    },
    clientTracking: false,
    handleProtocols: subprotocolOf,
  });
  server.on("upgrade", (request, socket, head) => {
    if (request.headers.upgrade?.toLowerCase() !== "websocket") {
      ignoreUpgrade(request, socket);
      return;
    }
    const { path, query } = targetOf(request);
    if (path !== "/") {
      refuse(socket, 404, "the WebSocket is on the page's own path");
      return;
    }
    const { origin } = request.headers;
    const hosts = hostsOf(request, config.trustedProxies);
    const { status, reason, isStale } = admission.judge({ origin, hosts, takesStale: query.has("stale") });
    if (status !== 101) {
      if (status === 403) refusedOrigins.add(origin ?? "", clientOf(request, config.trustedProxies));
      refuse(socket, status, reason);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      audience.welcome(webSocket, { isStale });
    });
  });
  sockets.on("wsClientError", (error, socket) => refuse(socket, 400, error.message, { "sec-websocket-version": "13" }));

  /** @param {Duplex} socket @param {number} status @param {string} why @param {Record<string, string>} [headers] */
  function refuse(socket, status, why, headers) {
    connections.refused += 1;
    lastAnswers.send(socket, plainAnswer(status, why, headers));
  }

  /**
   * HTTP lets a server ignore an upgrade to a protocol that it does not speak. Node.js 20 takes the connection away from
   * its HTTP server at each upgrade, so it is closed after the answer.
   * @param {import("node:http").IncomingMessage} request @param {Duplex} socket
   */
  function ignoreUpgrade(request, socket) {
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(/** @type {import("node:net").Socket} */ (socket));
    response.on("finish", () => {
      socket.end();
      lastAnswers.close(socket);
    });
    lastAnswers.close(socket, PLAIN_ANSWER_MS);
    handler(request, response);
  }

  server.listen(config.port, config.host);
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  log.info("listening", { host: config.host, port, name: config.name, environment: config.nodeEnv });

  const following = new AbortController();
  const followed = feed.run(following.signal);

  return {
    port,
    isReady: () => feed.isCurrent,
    async stop() {
      isStopping = true;
      const closed = new Promise((resolve) => server.close(resolve));
      audience.dismiss();
      following.abort();
      const cutOff = setTimeout(() => {
        audience.cutOff();
        lastAnswers.cutOff();
        server.closeAllConnections();
      }, FAREWELL_MS);
      server.closeIdleConnections();
      await Promise.all([closed, followed]);
      clearTimeout(cutOff);
      await client.close(true);
    },
  };
}

/** @param {Set<string>} offered */
function subprotocolOf(offered) {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL;
  return [...offered].find((protocol) => protocol.startsWith(SUBPROTOCOL_FAMILY)) ?? false;
}
