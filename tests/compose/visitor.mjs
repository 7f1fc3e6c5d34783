// visitor URL: keeps the page's WebSocket open and requests the page 20 times a second, until it is killed. Prints one
// line of JSON per event: `request` with its problem, if any; `average` for each new average.
import { get } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(import.meta.dirname, "../../vendor-apps/stock-liveview/package.json"));
const { WebSocket } = require("ws");

const url = process.argv[2];
const pauseMs = 50;
/** Longer than NGINX takes to ask every live view twice, the second time with longer time-outs. */
const limitMs = 30_000;

const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

function ask() {
  const at = Date.now();
  let isDone = false;
  const done = (problem) => {
    if (isDone) return;
    isDone = true;
    tell({ type: "request", at, ms: Date.now() - at, problem });
  };
  const request = get(url, { agent: false, timeout: limitMs }, (response) => {
    response.resume();
    response.on("close", () =>
      done(response.statusCode !== 200 ? `status ${response.statusCode}` : response.complete ? undefined : "cut off"),
    );
  });
  request.on("timeout", () => request.destroy(new Error(`no answer within ${limitMs / 1000} s`)));
  request.on("error", (error) => done(error.message));
}

const newest = new Map();

function watch() {
  const socket = new WebSocket(url.replace("http", "ws"), { handshakeTimeout: 2000 });
  // The server sends something every second; silence means a lost connection.
  let silence;
  const listen = () => {
    clearTimeout(silence);
    silence = setTimeout(() => socket.terminate(), 3000);
  };
  socket.on("open", listen);
  socket.on("message", (data) => {
    listen();
    for (const { company, avgPrice, time } of JSON.parse(String(data)).prices ?? []) {
      if (newest.get(company) === avgPrice) continue;
      newest.set(company, avgPrice);
      // The original live view sends no time.
      tell({ type: "average", company, avgPrice, closedAt: time ?? Date.now(), toldAt: Date.now() });
    }
  });
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => {
    clearTimeout(silence);
    setTimeout(watch, 200);
  });
}

setInterval(ask, pauseMs);
watch();
