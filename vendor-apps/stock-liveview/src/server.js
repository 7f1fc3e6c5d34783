/**
 * The live view: database → feed → market → audience → browsers, and plain HTTP beside it. The library's one entry;
 * app.js only reads the configuration and handles signals.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { MongoClient } from "mongodb";
import { WebSocketServer } from "ws";
import { SUBPROTOCOL, SUBPROTOCOL_FAMILY } from "../page/contract.js";
import { loadAssets } from "./assets.js";
import { Audience } from "./audience.js";
import { Feed } from "./feed.js";
import { History } from "./history.js";
import { createHandler } from "./http.js";
import { Market } from "./market.js";
import { createMetrics } from "./metrics.js";

/** @typedef {import("./config.js").Config} Config */
/** @typedef {import("./log.js").Log} Log */
/** @typedef {import("node:stream").Duplex} Duplex */

/** Time for browsers to answer the close before their connections are cut. */
const FAREWELL_MS = 2000;
/** Longer than the load balancer keeps idle connections (60 s), so that it never uses one that is being closed. */
const KEEP_ALIVE_MS = 75_000;

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

  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 16 * 1024 },
    createHandler({
      assets,
      market,
      isReady: () => feed.isCurrent,
      state: () => feed.state,
      metrics: createMetrics({ feed, market, audience, connections }),
      history: new History(collection, log),
    }),
  );
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
    const refusal = whyRefused(request, config, audience.size);
    if (refusal) {
      connections.refused += 1;
      refuse(socket, refusal);
    } else {
      sockets.handleUpgrade(request, socket, head, (webSocket) => audience.welcome(webSocket));
    }
  });

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
      const closed = new Promise((resolve) => server.close(resolve));
      audience.dismiss();
      following.abort();
      const cutOff = setTimeout(() => {
        audience.cutOff();
        server.closeAllConnections();
      }, FAREWELL_MS);
      server.closeIdleConnections();
      await Promise.all([closed, followed]);
      clearTimeout(cutOff);
      await client.close(true);
    },
  };
}

/**
 * Why a WebSocket is refused, as the status of the answer; undefined when it is welcome.
 * @param {import("node:http").IncomingMessage} request
 * @param {Config} config
 * @param {number} open  WebSockets open now
 */
function whyRefused(request, config, open) {
  if ((request.url ?? "").split("?", 1)[0] !== "/") return "404 Not Found";
  const { origin, host } = request.headers;
  // Browsers always send an Origin header; other clients need not.
  if (origin !== undefined && !config.allowedOrigins.includes("*") && !config.allowedOrigins.includes(origin)) {
    const isOwn = URL.canParse(origin) && new URL(origin).host === host;
    if (!isOwn) return "403 Forbidden";
  }
  if (open >= config.maxConnections) return "503 Service Unavailable";
  return undefined;
}

/** @param {Set<string>} offered */
function subprotocolOf(offered) {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL;
  return [...offered].find((protocol) => protocol.startsWith(SUBPROTOCOL_FAMILY)) ?? false;
}

/** @param {Duplex} socket @param {string} status */
function refuse(socket, status) {
  socket.on("error", () => {});
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
