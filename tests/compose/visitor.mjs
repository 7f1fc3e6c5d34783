// visitor URL: somebody who has the page open, and asks for it anew 20 times a second, until told to leave. Prints what
// it saw, a line of JSON each: `request` with the problem, if there was one; `average` whenever the page tells a new one.
import { get } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(import.meta.dirname, "../../vendor-apps/stock-liveview/package.json"));
const { WebSocket } = require("ws");

const url = process.argv[2];
const pauseMs = 50;
/** Longer than the load balancer takes to give up on every live view twice, the second time patiently. */
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
  // Every second something comes; a connection that was lost without a word is silent.
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
      // The original live view does not say when.
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
