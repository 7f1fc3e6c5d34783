// The security checks. Each looks at the running containers from outside and returns a list of problems.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { addresses } from "./database.mjs";
import { address, attempt, docker, outside, outsideAddress, run } from "./system.mjs";

// ---- What is allowed, said once ------------------------------------------------------------------

/** Pairs of parts that can reach each other: they work together, or are of the same kind. */
const neighbours = [
  ["publisher", "rabbitmq"],
  ["rabbitmq", "consumer"],
  ["consumer", "consumer"],
  ["consumer", "mongo"],
  ["mongo", "mongo"],
  ["mongo", "liveview"],
  ["liveview", "liveview"],
  ["liveview", "nginx"],
  ["rabbitmq", "management"],
  // Monitoring reaches every part.
  ...["publisher", "rabbitmq", "consumer", "liveview", "nginx", "mongo-metrics"].map((part) => ["prometheus", part]),
  ["mongo-metrics", "mongo"],
  ["mongo-metrics", "liveview"],
];

/** The host's ports that answer from outside. */
const published = [3000];
/** The ports that answer only on the host itself, by profile. */
const publishedLocally = { management: [15672], monitoring: [9090] };

/** The parts that run as root: `secrets` creates the secrets and gives each to its readers, without a network. */
const roots = ["secrets"];
const capabilities = { secrets: ["CHOWN", "DAC_READ_SEARCH"] };

/** The secrets that each kind of part knows. */
const knownSecrets = {
  rabbitmq: [/^rabbitmq-.*\.password$/, /^erlang\.cookie$/],
  mongo: [/^mongodb\.key$/],
  publisher: [/^rabbitmq-publisher\.password$/],
  consumer: [/^rabbitmq-consumer\.password$/, /^mongodb-consumer\.password$/],
  liveview: [/^mongodb-liveview\.password$/],
  "mongo-metrics": [/^mongodb-monitoring\.password$/],
  prometheus: [/^rabbitmq-monitoring\.password$/],
};

// ---- The network ---------------------------------------------------------------------------------

/** consumer-msft-2 is a consumer, mongo3 a mongo. */
export const kindOf = (service) => service.replace(/^(consumer)-.*|\d+$/, "$1");

const areNeighbours = (one, other) =>
  neighbours.some((pair) => [`${one} ${other}`, `${other} ${one}`].includes(pair.join(" ")));

/** Ports with a listener in the network of a process, by default without those on its loopback addresses. */
async function listeningPorts(pid, { alsoForItself = false } = {}) {
  const tables = await Promise.all(["tcp", "tcp6"].map((name) => readFile(`/proc/${pid}/net/${name}`, "utf8")));
  const ports = tables
    .flatMap((text) => text.split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === "0A" && (alsoForItself || !/^0{0,24}0100007F:|^0B00007F:/.test(local)))
    .map(([, local]) => parseInt(local.split(":")[1], 16));
  return [...new Set(ports)];
}

/** The targets that accept a connection from a network namespace. @returns {Promise<string[]>} */
export async function reached(enter, targets) {
  if (targets.length === 0) return [];
  const output = await run(enter[0], [
    ...enter.slice(1),
    process.execPath,
    join(import.meta.dirname, "reach.mjs"),
    ...targets,
  ]);
  return output.split("\n").filter(Boolean);
}

export const networkOf = ({ State }) => ["nsenter", `--target=${State.Pid}`, "--net"];

/** Each part reaches its neighbours and no other part. */
export async function checkReach(system) {
  const containers = await system.running();
  const places = new Map();
  for (const [service, container] of containers) {
    const ports = await listeningPorts(container.State.Pid);
    places.set(
      service,
      addresses(container).flatMap((host) => ports.map((port) => `${host}:${port}`)),
    );
  }
  const problems = [];
  for (const [service, container] of containers) {
    const others = [...containers.keys()].filter((other) => other !== service);
    const found = new Set(
      await reached(
        networkOf(container),
        others.flatMap((other) => places.get(other)),
      ),
    );
    for (const other of others) {
      const isReached = places.get(other).some((place) => found.has(place));
      const mayReach = areNeighbours(kindOf(service), kindOf(other));
      if (isReached && !mayReach) problems.push(`${service} reaches ${other}`);
      if (!isReached && mayReach && places.get(other).length > 0) problems.push(`${service} does not reach ${other}`);
    }
  }
  return problems;
}

/** Has a listener outside while it calls `use` with its host:port. The engine's host reaches it. */
export async function withListenerOutside(use) {
  const listener = `${outsideAddress}:8080`;
  const program = `require("node:net").createServer().listen(8080, () => console.log("listens"))`;
  const server = spawn(outside[0], [...outside.slice(1), process.execPath, "--eval", program]);
  const ended = once(server, "exit");
  try {
    await Promise.race([
      once(server.stdout, "data"),
      ended.then(([status]) => assert.fail(`the listener outside ended with status ${status}`)),
    ]);
    assert.deepEqual(await reached(["env"], [listener]), [listener], "the host itself reaches it");
    await use(listener);
  } finally {
    server.kill();
    await ended;
  }
}

/** No part reaches a listener outside, or a port of the engine's host other than the page's. */
export async function checkWayOut(system, outsideListener) {
  const problems = [];
  const ports = await listeningPorts("self");
  for (const [service, container] of await system.running()) {
    const gateways = Object.values(container.NetworkSettings.Networks)
      .map(({ Gateway }) => Gateway)
      .filter(Boolean);
    const targets = [
      outsideListener,
      ...[...gateways, address].flatMap((host) => ports.map((port) => `${host}:${port}`)),
    ];
    for (const place of await reached(networkOf(container), targets))
      if (!place.endsWith(":3000")) problems.push(`${service} reaches ${place}`);
  }
  return problems;
}

/**
 * The host's open ports are the published ones.
 * @param {{profile?: string, all?: boolean}} [options]  `all` tries every port, not only those with a listener
 */
export async function checkPorts({ profile, all = false } = {}) {
  const sorted = (ports) => ports.sort((one, other) => one - other);
  const listening = await listeningPorts("self", { alsoForItself: true });
  const targets = all ? [`${address}:1-65535`] : listening.map((port) => `${address}:${port}`);
  const open = {
    outside: (await reached(outside, targets)).map((place) => Number(place.split(":").at(-1))),
    itself: listening,
  };
  const expected = { outside: published, itself: [...published, ...(publishedLocally[profile] ?? [])] };
  return Object.keys(expected)
    .filter((from) => `${sorted(open[from])}` !== `${expected[from]}`)
    .map((from) => `${from}: ports ${open[from].join(", ")} of the host are open, not ${expected[from].join(", ")}`);
}

/** A visitor outside who knows the containers' own addresses reaches only NGINX. */
export async function checkDirectWay(system) {
  const services = new Map();
  for (const [service, container] of await system.running()) {
    const ports = await listeningPorts(container.State.Pid);
    for (const host of addresses(container)) for (const port of ports) services.set(`${host}:${port}`, service);
  }
  const route = (verb) => run(outside[0], [...outside.slice(1), "ip", "route", verb, "default", "via", address]);
  await route("add");
  const found = await reached(outside, [...services.keys()]);
  await route("delete");
  return found
    .filter((place) => services.get(place) !== "nginx")
    .map((place) => `${services.get(place)} is reached from outside at ${place}`);
}

// ---- The processes -------------------------------------------------------------------------------

/** The processes of a container. @returns {Promise<{id: number, status: Record<string, string>}[]>} */
async function processesOf({ Id }) {
  const ids = (await docker("top", Id, "-eo", "pid")).split("\n").slice(1).filter(Boolean).map(Number);
  const found = await Promise.all(
    ids.map(async (id) => {
      const text = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
      return { id, status: Object.fromEntries(text.split("\n").map((line) => line.split(/:\s+/))) };
    }),
  );
  // A health check may have ended in the meantime.
  return found.filter(({ status }) => status.Uid);
}

/** No process is root, can become root, or has a capability. */
export async function checkProcesses(system) {
  const problems = [];
  for (const [service, container] of await system.running()) {
    for (const { id, status } of await processesOf(container)) {
      const what = `${service}: ${status.Name} (${id})`;
      if (status.Uid.split(/\s+/).includes("0") && !roots.includes(service)) problems.push(`${what} is root`);
      for (const set of ["CapPrm", "CapEff", "CapBnd", "CapAmb"])
        if (BigInt(`0x${status[set]}`) !== 0n) problems.push(`${what} has capabilities: ${set} ${status[set]}`);
      if (status.NoNewPrivs !== "1") problems.push(`${what} may gain privileges`);
      if (status.Seccomp !== "2") problems.push(`${what} may make any system call`);
    }
  }
  return problems;
}

/** The settings of all containers, also of those that have ended. */
export async function checkSettings(system) {
  const problems = [];
  for (const [service, { Config, HostConfig, Mounts }] of await system.containers()) {
    const demand = (isTrue, problem) => isTrue || problems.push(`${service}: ${problem}`);
    demand(/^[1-9]\d*:/.test(Config.User) || roots.includes(service), `runs as user ${Config.User || "of the image"}`);
    demand(HostConfig.ReadonlyRootfs, "can write to its image's files");
    demand(`${HostConfig.CapDrop}` === "ALL", "keeps capabilities");
    const added = (HostConfig.CapAdd ?? []).map((name) => name.replace("CAP_", "")).sort();
    demand(`${added}` === `${capabilities[service] ?? []}`, `has capabilities of its own: ${added}`);
    demand(HostConfig.SecurityOpt?.includes("no-new-privileges:true"), "may gain privileges");
    demand(!HostConfig.Privileged, "is privileged");
    demand(HostConfig.Memory > 0, "may use all memory");
    demand(HostConfig.NanoCpus > 0, "may use all processors");
    demand(HostConfig.PidsLimit > 0, "may start any number of processes");
    const files = HostConfig.Ulimits?.find(({ Name }) => Name === "nofile")?.Hard ?? Infinity;
    demand(service !== "rabbitmq" || files <= 16384, "makes tables for any number of files");
    demand(HostConfig.LogConfig.Config["max-size"], "may fill the disk with its log");
    demand(
      HostConfig.NetworkMode !== "host" && !HostConfig.PidMode && HostConfig.IpcMode !== "host",
      "shares a namespace with the host",
    );
    demand(service === "secrets" ? HostConfig.NetworkMode === "none" : true, "has a network");
    demand(
      !Mounts.some(({ Type, Name }) => Type === "volume" && /^[0-9a-f]{64}$/.test(Name)),
      "has a volume without a name",
    );
    const writable = Mounts.filter(({ Type, RW }) => Type === "bind" && RW && Type !== "tmpfs");
    demand(
      writable.every(({ Destination }) => !Destination.includes("docker")),
      "can reach the engine",
    );
    demand(writable.length === 0, `can write to the host's ${writable.map(({ Source }) => Source).join(", ")}`);
  }
  return problems;
}

/** Not even root can change the files of an image. */
export async function checkFiles(system) {
  const problems = [];
  for (const [service, { State }] of await system.running()) {
    for (const folder of ["/", "/bin", "/etc", "/usr", "/lib", "/app", "/var", "/home", "/root"]) {
      const file = `/proc/${State.Pid}/root${folder}/.written-by-test`;
      const problem = await writeFile(file, "").then(
        () => "written",
        ({ code }) => code,
      );
      if (!["EROFS", "ENOENT"].includes(problem)) problems.push(`${service}: ${folder} can be written (${problem})`);
    }
  }
  return problems;
}

// ---- The secrets ---------------------------------------------------------------------------------

/** No secret shows in what the engine, a log, a process or an image tells. */
export async function checkSecrets(system) {
  const secrets = await system.secrets();
  const problems = [];
  const search = (place, text) => {
    for (const [name, value] of secrets) if (text.includes(value)) problems.push(`${place} shows ${name}`);
  };
  if (secrets.size < 7) problems.push(`only ${secrets.size} secrets were found to look for`);
  const images = new Set();
  for (const [service, container] of await system.containers()) {
    search(`docker inspect of ${service}`, JSON.stringify(container));
    const { stdout, stderr } = await logsOf(container);
    search(`the log of ${service}`, stdout + stderr);
    images.add(container.Config.Image);
    if (!container.State.Running) continue;
    for (const { id, status } of await processesOf(container)) {
      const of = async (what) => (await readFile(`/proc/${id}/${what}`, "utf8").catch(() => "")).replaceAll("\0", " ");
      search(`the environment of ${status.Name} in ${service}`, await of("environ"));
      search(`the command line of ${status.Name} in ${service}`, await of("cmdline"));
    }
  }
  for (const image of images) {
    search(`docker inspect of ${image}`, await docker("image", "inspect", image));
    search(`docker history of ${image}`, await docker("history", "--no-trunc", image));
  }
  return problems;
}

function logsOf({ Id }) {
  return attempt("docker", ["logs", Id]);
}

/** Each part can read its own secrets and no others, and only its user can read them. */
export async function checkSecretFiles(system) {
  const secrets = await system.secrets();
  const problems = [];
  for (const [service, { State, Config }] of await system.running()) {
    const folder = `/proc/${State.Pid}/root/run/secrets`;
    const names = await readdir(folder).catch(() => []);
    for (const name of names) {
      const text = await readFile(join(folder, name), "utf8");
      for (const [secret, value] of secrets)
        if (text.includes(value) && !(knownSecrets[kindOf(service)] ?? []).some((pattern) => pattern.test(secret)))
          problems.push(`${service} knows ${secret}`);
      const [owner, mode] = (await run("stat", ["--format", "%u %a", join(folder, name)])).trim().split(" ");
      if (owner !== Config.User.split(":")[0] || !/^[46]00$/.test(mode))
        problems.push(`${service}'s ${name} belongs to ${owner} with mode ${mode}`);
    }
    if (names.length === 0 && knownSecrets[kindOf(service)]) problems.push(`${service} has no secrets in /run/secrets`);
  }
  return problems;
}
