/**
 * The live view: database → feed → market → audience → browsers, and plain HTTP beside it. The library's one entry;
 * app.js only reads the configuration and handles signals.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { MongoClient } from "mongodb";
import { Admission, RefusedOrigins } from "./admission.js";
import { loadAssets } from "./assets.js";
import { Audience } from "./audience.js";
import { Feed } from "./feed.js";
import { History } from "./history.js";
import { createHandler, plainAnswer } from "./http.js";
import { LastAnswers } from "./last-answers.js";
import { Market } from "./market.js";
import { createMetrics } from "./metrics.js";
import { recentAnswer } from "./recent.js";
import { hostsOf } from "./proxies.js";
import { handleUpgrades } from "./upgrades.js";

/** @typedef {import("./config.js").Config} Config */
/** @typedef {import("./log.js").Log} Log */

/** Time for browsers to answer the close before their connections are cut. */
const FAREWELL_MS = 2000;
/** Longer than the load balancer keeps idle connections (60 s), so that it never uses one that is being closed. */
const KEEP_ALIVE_MS = 75_000;
/** As much as the load balancer takes: cookies of other applications on the same host may be long. */
const MAX_HEADER_BYTES = 128 * 1024;

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

  handleUpgrades(server, {
    trustedProxies: config.trustedProxies,
    admission,
    refusedOrigins: new RefusedOrigins(log),
    audience,
    lastAnswers,
    handler,
    connections,
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
