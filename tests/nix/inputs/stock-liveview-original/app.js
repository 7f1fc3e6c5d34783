// A stand-in for the live view that the assignment hands out: the same dependencies, so that the same
// expression builds it and the hash of the dependencies is the same. It sends the same messages as the
// original: every company's newest average, twice a second.
const express = require("express");
const { WebSocketServer } = require("ws");
const { newestAverages } = require("./server/database");

const server = express()
  .use(express.static("client"))
  .listen(process.env.PORT || 3000);
const sockets = new WebSocketServer({ server });

setInterval(async () => {
  try {
    const message = JSON.stringify({ type: "prices", prices: await newestAverages() });
    for (const socket of sockets.clients) socket.send(message);
  } catch (error) {
    console.error(error.message);
  }
}, 500);
