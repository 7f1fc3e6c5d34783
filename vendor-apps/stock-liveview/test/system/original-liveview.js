/**
 * Behaves as the original live view does: a page of its own, and every 500 ms the newest document of each company to
 * every WebSocket, whatever subprotocol that asks for.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

/** @param {number} port @param {import("../support.js").Collection} collection */
export async function startOriginal(port, collection) {
  const server = createServer(({ url }, response) => {
    response.writeHead(url === "/" ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end("<!doctype html><title>original</title>");
  });
  const sockets = new WebSocketServer({ server });
  const timer = setInterval(async () => {
    const newest = await collection
      .aggregate([{ $sort: { _id: -1 } }, { $group: { _id: "$company", newest: { $first: "$$ROOT" } } }])
      .toArray()
      .catch(() => []);
    const prices = newest.map((group) => group.newest);
    for (const socket of sockets.clients) socket.send(JSON.stringify({ type: "prices", prices }));
  }, 500);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    async stop() {
      clearInterval(timer);
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await once(server.close(), "close");
    },
  };
}
