// Reads companies' symbols, one a line, and prints those whose history the load balancer of the running system does
// not give.
import { text } from "node:stream/consumers";

const page = `http://127.0.0.1:${process.env.NGINX_PORT}`;

async function hasHistory(company) {
  const answer = await fetch(`${page}/history?company=${encodeURIComponent(company)}&range=15m`);
  const history = await answer.json();
  return history.company === company && history.time.length > 0;
}

for (const company of (await text(process.stdin)).match(/^[^#\n].*$/gm)) {
  if (!(await hasHistory(company))) console.log(company);
}
