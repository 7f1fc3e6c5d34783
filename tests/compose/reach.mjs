// reach HOST:PORT…: prints those that accept a connection, a line each. Run in the network of whoever is to be tried.
import { connect } from "node:net";

const limitMs = 1500;
const atOnce = 500;

function isReached(target) {
  const separator = target.lastIndexOf(":");
  return new Promise((resolve) => {
    const socket = connect({ host: target.slice(0, separator), port: Number(target.slice(separator + 1)) });
    const done = (result) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(limitMs, () => done(false));
    // A connection from one's own port to itself needs nobody who listens.
    socket.on("connect", () =>
      done(socket.localPort !== socket.remotePort || socket.localAddress !== socket.remoteAddress),
    );
    socket.on("error", () => done(false));
  });
}

// HOST:FIRST-LAST is a row of ports.
const targets = process.argv.slice(2).flatMap((target) => {
  const [, host, first, last] = target.match(/^(.*):(\d+)(?:-(\d+))?$/);
  return Array.from(
    { length: Number(last ?? first) - Number(first) + 1 },
    (_, index) => `${host}:${Number(first) + index}`,
  );
});
async function worker() {
  for (let target = targets.shift(); target !== undefined; target = targets.shift())
    if (await isReached(target)) console.log(target);
}
await Promise.all(Array.from({ length: atOnce }, worker));
