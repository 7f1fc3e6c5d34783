// Initiates the replica set on running members and creates its users. Every step
// is idempotent: the script may run any number of times, also after an interrupted
// run.
//
//   MONGODB_MEMBERS  host:port,host:port,…
//   SECRETS          folder with the members' key file and a password file for each user
//   LIVEVIEW         folder of the live view; this script uses its MongoDB driver
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const { MONGODB_MEMBERS, SECRETS, LIVEVIEW } = process.env;
const { MongoClient } = createRequire(join(LIVEVIEW, "package.json"))("mongodb");

const members = MONGODB_MEMBERS.split(",");
const limitMs = 300_000;
const deadline = Date.now() + limitMs;

const codes = { authenticationFailed: 18, alreadyInitialized: 23, userExists: 51003 };

const secret = (name) => readFileSync(join(SECRETS, name), "utf8").trim();

// Least privilege. A user without a password file is not created.
const users = [
  { name: "admin", roles: ["root"] },
  { name: "consumer", roles: [{ role: "readWrite", db: "stockmarket" }] },
  { name: "liveview", roles: [{ role: "read", db: "stockmarket" }] },
  { name: "monitoring", roles: ["clusterMonitor"] },
].filter(({ name }) => existsSync(join(SECRETS, `mongodb-${name}.password`)));

// The key file authenticates as a member, so this works before any administrator exists.
const asMember = {
  auth: { username: "__system", password: secret("mongodb.key") },
  authSource: "local",
  authMechanism: "SCRAM-SHA-256",
};

/** Runs `use` on a direct connection to one member. */
async function withMember(host, options, use) {
  const client = new MongoClient(`mongodb://${host}/`, {
    directConnection: true,
    serverSelectionTimeoutMS: 1000,
    ...options,
  });
  try {
    return await use(client.db("admin"));
  } catch (error) {
    if (error.code !== codes.authenticationFailed) throw error;
    const explanation = `${host} has another key than this one in ${SECRETS}: it was started with other secrets`;
    throw Object.assign(new Error(explanation), { fatal: true });
  } finally {
    await client.close();
  }
}

/** Repeats `attempt` until it returns a value other than undefined, or the deadline passes. */
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

const hello = (member) => withMember(member, { serverSelectionTimeoutMS: 500 }, (admin) => admin.command({ hello: 1 }));

async function initiate() {
  const config = {
    _id: "rs0",
    // Short: the members are close to each other, so two seconds of silence mean a failure.
    settings: { electionTimeoutMillis: 2000, heartbeatIntervalMillis: 500 },
    members: members.map((host, _id) => ({ _id, host })),
  };
  await withMember(members[0], asMember, (admin) => admin.command({ replSetInitiate: config })).catch((error) => {
    if (error.code !== codes.alreadyInitialized) throw error;
  });
  return true;
}

/** Reconfigures the replica set when the members' addresses have changed. */
async function followAddresses() {
  await withMember(members[0], asMember, async (admin) => {
    const { config } = await admin.command({ replSetGetConfig: 1 });
    if (config.members.map(({ host }) => host).join() === members.join()) return;
    config.members = members.map((host, _id) => ({ ...config.members[_id], _id, host }));
    await admin.command({ replSetReconfig: config, force: true });
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

async function createUsers(host) {
  await withMember(host, asMember, async (admin) => {
    for (const { name, roles } of users) {
      const user = { pwd: secret(`mongodb-${name}.password`), roles, writeConcern: { w: "majority" } };
      await admin.command({ createUser: name, ...user }).catch((error) => {
        if (error.code !== codes.userExists) throw error;
        return admin.command({ updateUser: name, ...user });
      });
    }
  });
  return true;
}

/** Whether every member is primary or secondary: only then does the set tolerate the loss of one. */
async function allReady() {
  const states = await Promise.all(members.map(hello));
  return states.every((state) => state.isWritablePrimary || state.secondary) || undefined;
}

async function main() {
  const states = await until("the members answer", () => Promise.all(members.map(hello)));
  if (!states.some((state) => state.setName)) await until("the replica set begins", initiate);
  await until("the members know each other", followAddresses);
  await until("the users exist", async () => createUsers(await until("a primary", primary)));
  await until("all members are ready", allReady);
}

try {
  await main();
} catch (error) {
  console.error(`mongo-init: ${error.message}`);
  process.exitCode = 1;
}
