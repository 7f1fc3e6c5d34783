/**
 * HTTP requests: the page, its files, data for the charts, health, metrics.
 */
import { STATUS_CODES } from "node:http";

/** @typedef {import("node:http").IncomingMessage} Request */
/** @typedef {import("node:http").ServerResponse} Response */
/** @typedef {import("./assets.js").Assets} Assets */

/**
 * Answers a query. Its promise never rejects.
 * @typedef {(query: URLSearchParams) => Promise<{status: number, body: object, maxAge: number}>} Query
 */

const A_YEAR = "public, max-age=31536000, immutable";

/**
 * Part of every answer. The page loads nothing from other origins, is never framed, and uses no device. The load balancer
 * sends the same (nginx/headers.conf) in place of these.
 */
export const PROTECTION = Object.freeze({
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "permissions-policy":
    "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
});

/**
 * @typedef {object} Parts
 * @property {Assets} assets
 * @property {() => boolean} isReady      whether the database is reachable and the data current
 * @property {() => string} state         of the feed; `/readyz` and `/startedz` print it
 * @property {() => Promise<{contentType: string, text: string}>} metrics
 * @property {Query} history  a company's averages of a range, from the database
 * @property {Query} recent   companies' newest averages, from memory
 * @property {Query} past     every company's price some time ago
 * @property {(request: Request, query: URLSearchParams) => {status: number, reason: string}} admission
 *   how a WebSocket of a page would be answered
 */

/**
 * @param {Parts} parts
 * @returns {(request: Request, response: Response) => void}
 */
export function createHandler({ assets, isReady, state, metrics, history, recent, past, admission }) {
  /** @type {Record<string, Query>} */
  const queries = { "/history": history, "/recent": recent, "/past": past };
  let hasStarted = false;
  return (request, response) => {
    // Request bodies are never read, so the connection cannot serve another request.
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.shouldKeepAlive = false;
      send(response, 405, "only GET and HEAD are answered here\n", { allow: "GET, HEAD" });
      return;
    }
    if (request.httpVersion === "1.1" && request.headers.host === undefined) {
      response.shouldKeepAlive = false;
      send(response, 400, "a request of HTTP/1.1 names its host\n");
      return;
    }
    const { path, query } = targetOf(request);
    if (Object.hasOwn(queries, path)) {
      queries[path](query).then(
        ({ status, body, maxAge }) => sendJson(response, status, body, maxAge),
        () => sendJson(response, 500, { error: "this question cannot be answered" }, 0),
      );
      return;
    }
    switch (path) {
      case "/":
        sendPage(request, response, assets);
        return;
      case "/healthz":
        send(response, 200, "ok\n");
        return;
      case "/readyz":
        if (isReady()) send(response, 200, `ready: ${state()}\n`);
        else send(response, 503, `not ready: ${state()}\n`);
        return;
      case "/startedz":
        hasStarted ||= isReady();
        if (hasStarted) send(response, 200, "started\n");
        else send(response, 503, `not started: ${state()}\n`);
        return;
      case "/metrics":
        metrics().then(
          ({ contentType, text }) => send(response, 200, text, { "content-type": contentType }),
          () => send(response, 500, "the metrics cannot be read\n"),
        );
        return;
      case "/admission":
        sendJson(response, 200, admission(request, query), 0);
        return;
      default: {
        const asset = assets.find(path);
        if (!asset) send(response, 404, "there is nothing here\n");
        else send(response, 200, asset.body, { "content-type": asset.contentType, "cache-control": A_YEAR });
      }
    }
  };
}

/**
 * What a request asks for. Proxies that strip a path often leave a slash too many at its beginning, and some send the
 * whole address.
 * @param {Request} request
 */
export function targetOf({ url = "/" }) {
  const [address, query = ""] = url.split("?", 2);
  const path = address.replace(/^https?:\/\/[^/]*/i, "").replace(/^\/*/, "/");
  return { path, query: new URLSearchParams(query) };
}

/**
 * A last answer as bytes, for a connection that has no `ServerResponse`.
 * @param {number} status @param {string} text @param {Record<string, string>} [more]
 */
export function plainAnswer(status, text, more = {}) {
  const body = `${text}\n`;
  const headers = {
    ...PROTECTION,
    ...more,
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "content-length": Buffer.byteLength(body),
    connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${body}`;
}

/** @param {Request} request @param {Response} response @param {Assets} assets */
function sendPage(request, response, { page, pageTag }) {
  // Browsers revalidate the page on each visit, so that it never names files of an old version.
  const headers = { "content-type": page.contentType, "cache-control": "no-cache", etag: pageTag };
  // The load balancer weakens the tag when it compresses.
  const known = request.headers["if-none-match"]?.replaceAll("W/", "").split(/\s*,\s*/) ?? [];
  if (known.includes(pageTag)) response.writeHead(304, { ...PROTECTION, ...headers }).end();
  else send(response, 200, page.body, headers);
}

/** @param {Response} response @param {number} status @param {object} body @param {number} maxAge  seconds */
function sendJson(response, status, body, maxAge) {
  send(response, status, JSON.stringify(body), {
    "content-type": "application/json",
    "cache-control": maxAge > 0 ? `public, max-age=${maxAge}` : "no-store",
  });
}

/**
 * @param {Response} response
 * @param {number} status
 * @param {string | Buffer} body
 * @param {Record<string, string>} [headers]
 */
function send(response, status, body, headers = {}) {
  response.writeHead(status, {
    ...PROTECTION,
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
