/**
 * The configuration, read from the environment. `VARIABLES` is its reference: `--help` prints it.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { hostname } from "node:os";
import { parseNetworks } from "./proxies.js";

/** This machine, and the private networks. */
const PRIVATE_NETWORKS = [
  "127.0.0.0/8",
  "::1",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "169.254.0.0/16",
  "fc00::/7",
  "fe80::/10",
];

/**
 * @typedef {object} Config
 * @property {string} mongodbUrl      connection string; may contain a password: never log it
 * @property {string} mongodbDb       database that holds the averages
 * @property {string} mongodbCollection collection of averages, one document for each window
 * @property {string} host            address to listen on
 * @property {number} port            port to listen on; 0 means any free port
 * @property {string} name            name of this live view on the page and in the logs
 * @property {string} nodeEnv         only logged
 * @property {number} maxConnections  limit of open WebSockets; further ones get 503
 * @property {string[]} allowedOrigins further origins that may open a WebSocket; `*` allows all
 * @property {import("node:net").BlockList} trustedProxies who may tell by X-Forwarded headers who the client is
 * @property {"text" | "json"} logFormat
 * @property {"debug" | "info" | "warn" | "error"} logLevel
 */

/** @type {ReadonlyArray<{name: string, fallback: string, meaning: string}>} */
export const VARIABLES = [
  {
    name: "MONGODB_URL",
    fallback: "mongodb://127.0.0.1:27017,127.0.0.1:27018,127.0.0.1:27019/?replicaSet=rs0",
    meaning: "connection string of the database",
  },
  { name: "MONGODB_URL_FILE", fallback: "", meaning: "file that contains MONGODB_URL, instead of the variable" },
  { name: "MONGODB_DB", fallback: "stockmarket", meaning: "name of the database" },
  { name: "MONGODB_COLLECTION", fallback: "stocks", meaning: "name of the collection" },
  { name: "HOST", fallback: "127.0.0.1", meaning: "address to listen on (0.0.0.0 for all)" },
  { name: "PORT", fallback: "3000", meaning: "port to listen on (0 for any free port)" },
  {
    name: "LIVEVIEW_NAME",
    fallback: "",
    meaning: "name of this live view on the page (default: host name and port)",
  },
  { name: "MAX_CONNECTIONS", fallback: "5000", meaning: "limit of open WebSockets" },
  {
    name: "ALLOWED_ORIGINS",
    fallback: "",
    meaning: "further origins that may open a WebSocket, comma-separated (* for all)",
  },
  {
    name: "TRUSTED_PROXIES",
    fallback: "private",
    meaning: "proxies whose X-Forwarded headers count: addresses and networks, comma-separated; private or none",
  },
  { name: "LOG_FORMAT", fallback: "", meaning: "text or json (default: text on a terminal)" },
  { name: "LOG_LEVEL", fallback: "info", meaning: "debug, info, warn or error" },
  { name: "NODE_ENV", fallback: "development", meaning: "only logged" },
];

/** Everything that is wrong with the configuration, one line each. */
export class ConfigError extends Error {
  /** @param {string[]} problems */
  constructor(problems) {
    super(problems.join("\n"));
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/**
 * Reads the configuration.
 * @param {Record<string, string | undefined>} env
 * @returns {Config}
 * @throws {ConfigError} with every problem at once, and no value that may be secret
 */
export function readConfig(env) {
  /** @type {string[]} */
  const problems = [];
  const fallbacks = new Map(VARIABLES.map(({ name, fallback }) => [name, fallback]));

  /** @param {string} name */
  const text = (name) => env[name]?.trim() || fallbacks.get(name) || "";

  /** @param {string} name @param {string} pattern @param {RegExp} allowed @param {string} example */
  const matching = (name, pattern, allowed, example) => {
    const value = text(name);
    if (!allowed.test(value)) problems.push(`${name} must be ${pattern}, for example ${example}`);
    return value;
  };

  /** @param {string} name @param {number} lowest @param {number} highest @param {string} example */
  const wholeNumber = (name, lowest, highest, example) => {
    const value = text(name);
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= lowest && number <= highest)) {
      problems.push(`${name} must be a whole number from ${lowest} to ${highest}, for example ${example}`);
    }
    return number;
  };

  /** @template {string} T @param {string} name @param {readonly T[]} choices @returns {T} */
  const oneOf = (name, choices) => {
    const value = choices.find((choice) => choice === text(name).toLowerCase());
    if (value === undefined) problems.push(`${name} must be one of ${choices.join(", ")}`);
    return value ?? /** @type {T} */ (choices[0]);
  };

  /** The value of a variable, or the content of the file that `<name>_FILE` names. @param {string} name */
  const secret = (name) => {
    const file = env[`${name}_FILE`]?.trim();
    if (!file) return text(name);
    if (env[name]?.trim()) {
      problems.push(`${name} and ${name}_FILE are both set: keep one of them`);
      return "";
    }
    try {
      const value = readFileSync(file, "utf8").trim();
      if (!value) problems.push(`${name}_FILE names an empty file: ${file}`);
      return value;
    } catch (error) {
      const reason = /** @type {NodeJS.ErrnoException} */ (error).code ?? "unknown error";
      problems.push(`${name}_FILE names a file that cannot be read (${reason}): ${file}`);
      return "";
    }
  };

  const mongodbUrl = secret("MONGODB_URL");
  if (mongodbUrl && !isConnectionString(mongodbUrl)) {
    problems.push(`MONGODB_URL must be a connection string, for example ${fallbacks.get("MONGODB_URL")}`);
  }
  const mongodbDb = matching(
    "MONGODB_DB",
    'a name without any of / \\ . " $ * < > : | ? and spaces',
    /^[^/\\. "$*<>:|?\0]{1,63}$/,
    "stockmarket",
  );
  const mongodbCollection = matching(
    "MONGODB_COLLECTION",
    "a name that neither holds $ nor begins with system.",
    /^(?!system\.)[^$\0]{1,120}$/,
    "stocks",
  );
  const host = matching("HOST", "an address or host name", /^[\w.:%-]+$/, "127.0.0.1");
  const port = wholeNumber("PORT", 0, 65535, "3000");
  const maxConnections = wholeNumber("MAX_CONNECTIONS", 1, 1_000_000, "5000");
  const allowedOrigins = text("ALLOWED_ORIGINS")
    .split(",")
    .map((origin) => origin.trim())
    .filter(Boolean);
  for (const origin of allowedOrigins) {
    if (origin !== "*" && !isOrigin(origin)) {
      problems.push("ALLOWED_ORIGINS must be * or a list of origins, for example https://stocks.example");
      break;
    }
  }
  const trustedProxies = parseNetworks(
    text("TRUSTED_PROXIES")
      .split(",")
      .map((network) => network.trim())
      .filter((network) => network && network !== "none")
      .flatMap((network) => (network === "private" ? PRIVATE_NETWORKS : network)),
  );
  if (!trustedProxies) {
    problems.push("TRUSTED_PROXIES must be private, none or a list of addresses and networks, for example 10.1.0.0/16");
  }
  const logFormat = text("LOG_FORMAT")
    ? oneOf("LOG_FORMAT", /** @type {const} */ (["text", "json"]))
    : process.stderr.isTTY
      ? "text"
      : "json";
  const logLevel = oneOf("LOG_LEVEL", /** @type {const} */ (["debug", "info", "warn", "error"]));

  if (problems.length > 0 || !trustedProxies) throw new ConfigError(problems);
  return {
    mongodbUrl,
    mongodbDb,
    mongodbCollection,
    host,
    port,
    name: text("LIVEVIEW_NAME") || `${hostname()}:${port}`,
    nodeEnv: text("NODE_ENV"),
    maxConnections,
    allowedOrigins,
    trustedProxies,
    logFormat,
    logLevel,
  };
}

/**
 * The address at which a live view with this environment can be reached from the same machine.
 * @param {Record<string, string | undefined>} env
 * @returns {{host: string, port: string}} unchecked
 */
export function readAddress(env) {
  const [host = "", port = ""] = ["HOST", "PORT"].map(
    (name) => env[name]?.trim() || VARIABLES.find((variable) => variable.name === name)?.fallback,
  );
  return { host: host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host, port };
}

/** @param {string} url */
function isConnectionString(url) {
  if (!/^mongodb(\+srv)?:\/\//.test(url)) return false;
  // Loaded only here: health checks run every few seconds, and start in half the time without the driver.
  const { MongoClient } = /** @type {typeof import("mongodb")} */ (createRequire(import.meta.url)("mongodb"));
  try {
    // The constructor parses, but does not connect. Its message is dropped because it may quote the URL.
    new MongoClient(url);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} text */
function isOrigin(text) {
  return URL.canParse(text) && new URL(text).origin === text;
}
