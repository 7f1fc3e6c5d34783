// The database, read as the live view reads it, from the engine's host.
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "./system.mjs";

const require = createRequire(join(root, "vendor-apps/stock-liveview/package.json"));
export const { MongoClient } = require("mongodb");

export const addresses = ({ NetworkSettings }) =>
  Object.values(NetworkSettings.Networks)
    .map(({ IPAddress }) => IPAddress)
    .filter(Boolean);

/** The members that run: name and address. */
export async function members(system) {
  return [...(await system.running())]
    .filter(([service, { State }]) => /^mongo\d+$/.test(service) && !State.Paused)
    .map(([service, container]) => ({ service, host: `${addresses(container)[0]}:27017` }));
}

/** One member, by its address: their own names mean nothing here. */
export async function withMember(host, url, use) {
  const { username, password } = url?.match(/^mongodb:\/\/(?<username>.*?):(?<password>.*?)@/).groups ?? {};
  const client = new MongoClient(`mongodb://${host}/`, {
    directConnection: true,
    serverSelectionTimeoutMS: 2000,
    ...(url && { auth: { username, password }, authSource: "admin" }),
  });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

/** The primary's service, or undefined while there is none. */
export async function primary(system) {
  for (const { service, host } of await members(system)) {
    const hello = await withMember(host, undefined, (client) => client.db("admin").command({ hello: 1 })).catch(
      () => ({}),
    );
    if (hello.isWritablePrimary) return { service, host };
  }
  return undefined;
}

/** The averages, as the primary has them. */
export async function withDatabase(system, use) {
  const first = await primary(system);
  if (!first) throw new Error("the replica set has no primary");
  return withMember(first.host, await system.secret("mongodb-liveview.url"), (client) =>
    use(client.db("stockmarket").collection("stocks")),
  );
}
