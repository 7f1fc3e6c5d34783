/**
 * Upgrades of HTTP connections: WebSockets on the page's own path are welcomed or refused, all others are ignored.
 */
import { ServerResponse } from "node:http";
import { WebSocketServer } from "ws";
import { SUBPROTOCOL, SUBPROTOCOL_FAMILY } from "../page/contract.js";
import { plainAnswer, targetOf } from "./http.js";
import { clientOf, hostsOf } from "./proxies.js";

/** @typedef {import("node:stream").Duplex} Duplex */

/** Time for a client to read the whole answer to a request with an upgrade that is ignored. */
const PLAIN_ANSWER_MS = 30_000;

/**
 * @param {import("node:http").Server} server
 * @param {object} parts
 * @param {import("node:net").BlockList} parts.trustedProxies
 * @param {import("./admission.js").Admission} parts.admission
 * @param {import("./admission.js").RefusedOrigins} parts.refusedOrigins
 * @param {import("./audience.js").Audience} parts.audience
 * @param {import("./last-answers.js").LastAnswers} parts.lastAnswers
 * @param {import("node:http").RequestListener} parts.handler  answers requests whose upgrade is ignored
 * @param {{refused: number}} parts.connections  WebSockets refused are counted here
 */
export function handleUpgrades(
  server,
  { trustedProxies, admission, refusedOrigins, audience, lastAnswers, handler, connections },
) {
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
  sockets.on("wsClientError", (error, socket) => refuse(socket, 400, error.message, { "sec-websocket-version": "13" }));

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
    const hosts = hostsOf(request, trustedProxies);
    const { status, reason, isStale } = admission.judge({ origin, hosts, takesStale: query.has("stale") });
    if (status !== 101) {
      if (status === 403) refusedOrigins.add(origin ?? "", clientOf(request, trustedProxies));
      refuse(socket, status, reason);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      audience.welcome(webSocket, { isStale });
    });
  });

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
}

/** @param {Set<string>} offered */
function subprotocolOf(offered) {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL;
  return [...offered].find((protocol) => protocol.startsWith(SUBPROTOCOL_FAMILY)) ?? false;
}
