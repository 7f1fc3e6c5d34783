/**
 * HTTP requests: the page, its files, history for the charts, health, metrics.
 */

import { columns } from "./average.js";

/** @typedef {import("node:http").IncomingMessage} Request */
/** @typedef {import("node:http").ServerResponse} Response */
/** @typedef {import("./assets.js").Assets} Assets */

const A_YEAR = "public, max-age=31536000, immutable";

/**
 * @typedef {object} Parts
 * @property {Assets} assets
 * @property {import("./market.js").Market} market
 * @property {() => boolean} isReady      whether the database is reachable and the data current
 * @property {() => string} state         of the feed; `/readyz` and `/startedz` print it
 * @property {() => Promise<{contentType: string, text: string}>} metrics
 * @property {import("./history.js").History} history
 */

/**
 * @param {Parts} parts
 * @returns {(request: Request, response: Response) => void}
 */
export function createHandler({ assets, market, isReady, state, metrics, history }) {
  let hasStarted = false;
  return (request, response) => {
    // Request bodies are never read, so the connection cannot serve another request.
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.shouldKeepAlive = false;
      send(response, 405, "only GET and HEAD are answered here\n", { allow: "GET, HEAD" });
      return;
    }
    // The load balancer checks the host.
    const [path, query = ""] = (request.url ?? "/").split("?", 2);
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
      case "/history":
        history.answer(new URLSearchParams(query)).then(({ status, body, maxAge }) =>
          send(response, status, JSON.stringify(body), {
            "content-type": "application/json",
            "cache-control": maxAge > 0 ? `public, max-age=${maxAge}` : "no-store",
          }),
        );
        return;
      case "/recent": {
        const asked = new URLSearchParams(query);
        const limit = Number(asked.get("limit") ?? 60);
        const companies = asked.getAll("company").map((company) => {
          const recent = market.recent(company).slice(-limit);
          return { company, id: recent.map(({ _id }) => _id), ...columns(recent) };
        });
        send(response, 200, JSON.stringify({ companies }), { "content-type": "application/json" });
        return;
      }
      default: {
        const asset = assets.find(path);
        if (!asset) send(response, 404, "there is nothing here\n");
        else send(response, 200, asset.body, { "content-type": asset.contentType, "cache-control": A_YEAR });
      }
    }
  };
}

/** @param {Request} request @param {Response} response @param {Assets} assets */
function sendPage(request, response, { page, pageTag }) {
  // Browsers revalidate the page on each visit, so that it never names files of an old version.
  const headers = { "content-type": page.contentType, "cache-control": "no-cache", etag: pageTag };
  // The load balancer weakens the tag when it compresses.
  const known = request.headers["if-none-match"]?.replaceAll("W/", "").split(/\s*,\s*/) ?? [];
  if (known.includes(pageTag)) response.writeHead(304, headers).end();
  else send(response, 200, page.body, headers);
}

/**
 * @param {Response} response
 * @param {number} status
 * @param {string | Buffer} body
 * @param {Record<string, string>} [headers]
 */
function send(response, status, body, headers = {}) {
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
