// reach HOST:PORT…: prints the targets that accept a connection, one per line. Run it in the network namespace of the
// part under test. HOST:FIRST-LAST is a range of ports.
import { connect } from "node:net";
import { overload } from "../lib/waiting.mjs";

const limitMs = 1500 * overload();
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
    // A socket can connect to its own port without a listener.
    socket.on("connect", () =>
      done(socket.localPort !== socket.remotePort || socket.localAddress !== socket.remoteAddress),
    );
    socket.on("error", () => done(false));
  });
}

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
