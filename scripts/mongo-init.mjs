// Makes the started members into a replica set with users. May be run at any
// time and any number of times, also after a run that was cut off in the middle:
// each step looks whether it is done already.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const root = process.env.STOCKMARKET_ROOT;
const secrets = join(process.env.STOCKMARKET_HOME, "secrets");
// The live view's own driver: one copy, one version.
const { MongoClient } = createRequire(join(root, "vendor-apps/stock-liveview/package.json"))("mongodb");

const members = readFileSync(join(root, "scripts/ports"), "utf8")
  .match(/^MONGO\d+_PORT\b/gm)
  .map((port) => `127.0.0.1:${process.env[port]}`);
const limitMs = 120_000;
const deadline = Date.now() + limitMs;

const codes = { unauthorized: 13, authenticationFailed: 18, alreadyInitialized: 23, userExists: 51003 };

const password = (user) => readFileSync(join(secrets, `mongodb-${user}.password`), "utf8").trim();

const users = [
  { name: "consumer", roles: [{ role: "readWrite", db: "stockmarket" }] },
  { name: "liveview", roles: [{ role: "read", db: "stockmarket" }] },
];

function connect(hosts, { asAdmin = false, ...options } = {}) {
  return new MongoClient(`mongodb://${hosts}/`, {
    serverSelectionTimeoutMS: 1000,
    ...(asAdmin && { auth: { username: "admin", password: password("admin") }, authSource: "admin" }),
    ...options,
  });
}

async function withClient(client, use) {
  try {
    return await use(client.db("admin"));
  } finally {
    await client.close();
  }
}

/** Repeats `attempt` until it returns something other than undefined. */
async function until(what, attempt) {
  for (;;) {
    let problem;
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      if (error.fatal) throw error;
      problem = error.message;
    }
    if (Date.now() > deadline)
      throw new Error(`${what}: not within ${limitMs / 1000} s${problem ? ` (${problem})` : ""}`);
    await sleep(100);
  }
}

const hello = (member) =>
  withClient(connect(member, { directConnection: true, serverSelectionTimeoutMS: 500 }), (admin) =>
    admin.command({ hello: 1 }),
  );

async function initiate() {
  const config = {
    _id: "rs0",
    // Short, because on one machine a member that is silent for two seconds is gone.
    settings: { electionTimeoutMillis: 2000, heartbeatIntervalMillis: 500 },
    members: members.map((host, _id) => ({ _id, host })),
  };
  await withClient(connect(members[0], { directConnection: true }), (admin) =>
    admin.command({ replSetInitiate: config }),
  ).catch((error) => {
    // Unauthorized: there are users, so there was a replica set.
    if (error.code !== codes.alreadyInitialized && error.code !== codes.unauthorized) throw error;
  });
  return true;
}

/** Members know each other by port: when those were changed since, tells them. */
async function followPorts() {
  await withClient(connect(members[0], { asAdmin: true, directConnection: true }), async (admin) => {
    const { config } = await admin.command({ replSetGetConfig: 1 });
    if (config.members.every(({ host }, index) => host === members[index])) return;
    config.members.forEach((member, index) => (member.host = members[index]));
    await admin.command({ replSetReconfig: config, force: true });
  }).catch((error) => {
    // No admin yet: the replica set is new, and so are its ports.
    if (error.code !== codes.authenticationFailed) throw error;
  });
  return true;
}

async function primary() {
  for (const member of members) {
    const { isWritablePrimary } = await hello(member);
    if (isWritablePrimary) return member;
  }
  return undefined;
}

/** The very first user is made without a password: MongoDB allows that from this machine, once. */
async function createAdmin(host) {
  const authenticates = await withClient(connect(host, { asAdmin: true, directConnection: true }), (admin) =>
    admin.command({ ping: 1 }),
  ).then(
    () => true,
    (error) => {
      if (error.code !== codes.authenticationFailed) throw error;
      return false;
    },
  );
  if (authenticates) return true;
  await withClient(connect(host, { directConnection: true }), (admin) =>
    admin.command({ createUser: "admin", pwd: password("admin"), roles: ["root"], writeConcern: { w: "majority" } }),
  ).catch((error) => {
    if (error.codeName !== "Unauthorized") throw error;
    throw Object.assign(
      new Error("the database has an admin whose password is not the one in secrets/: `make clean` starts afresh"),
      { fatal: true },
    );
  });
  return true;
}

async function createUsers(host) {
  await withClient(connect(host, { asAdmin: true, directConnection: true }), async (admin) => {
    for (const { name, roles } of users) {
      const user = { pwd: password(name), roles, writeConcern: { w: "majority" } };
      await admin.command({ createUser: name, ...user }).catch((error) => {
        if (error.code !== codes.userExists) throw error;
        return admin.command({ updateUser: name, ...user });
      });
    }
  });
  return true;
}

/** Members that have copied the data: only then does the loss of one cost nothing. */
async function allReady() {
  const states = await Promise.all(members.map(hello));
  return states.every((state) => state.isWritablePrimary || state.secondary) || undefined;
}

async function main() {
  const states = await until("the members answer", () => Promise.all(members.map(hello)));
  if (!states.some((state) => state.setName)) await until("the replica set begins", initiate);
  await until("the members know each other", followPorts);
  await until("the admin exists", async () => createAdmin(await until("a primary", primary)));
  await until("the users exist", async () => createUsers(await until("a primary", primary)));
  await until("all members are ready", allReady);
}

try {
  await main();
} catch (error) {
  console.error(`mongo-init: ${error.message}`);
  process.exitCode = 1;
}
