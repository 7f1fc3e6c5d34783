// The database, read with the live view's driver from the engine's host.
import { createRequire } from "node:module";
import { join } from "node:path";
import { eventually, overload } from "../lib/waiting.mjs";
import { root } from "./system.mjs";

const require = createRequire(join(root, "vendor-apps/stock-liveview/package.json"));
export const { MongoClient } = require("mongodb");

export const addresses = ({ NetworkSettings }) =>
  Object.values(NetworkSettings.Networks)
    .map(({ IPAddress }) => IPAddress)
    .filter(Boolean);

/** The running members: service and address. */
export async function members(system) {
  return [...(await system.running())]
    .filter(([service, { State }]) => /^mongo\d+$/.test(service) && !State.Paused)
    .map(([service, container]) => ({ service, host: `${addresses(container)[0]}:27017` }));
}

/** Uses one member by its address: the names that members know of each other do not resolve here. */
export async function withMember(host, url, use) {
  const { username, password } = url?.match(/^mongodb:\/\/(?<username>.*?):(?<password>.*?)@/).groups ?? {};
  const client = new MongoClient(`mongodb://${host}/`, {
    directConnection: true,
    serverSelectionTimeoutMS: 2000 * overload(),
    ...(url && { auth: { username, password }, authSource: "admin" }),
  });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

/** Waits for a primary. @returns {Promise<{service: string, host: string}>} */
export const primary = (system) => eventually("a primary", 30_000, () => findPrimary(system));

async function findPrimary(system) {
  for (const { service, host } of await members(system)) {
    const hello = await withMember(host, undefined, (client) => client.db("admin").command({ hello: 1 })).catch(
      () => ({}),
    );
    if (hello.isWritablePrimary) return { service, host };
  }
  return undefined;
}

/** Uses the primary's collection of averages. */
export async function withDatabase(system, use) {
  const { host } = await primary(system);
  return withMember(host, await system.secret("mongodb-liveview.url"), (client) =>
    use(client.db("stockmarket").collection("stocks")),
  );
}
