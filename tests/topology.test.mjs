// What nix/ makes of companies with symbols as exchanges use them. Needs Nix, but neither a store nor a network.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { parse } from "yaml";
import { root } from "./lib/stockmarket.mjs";
import { setCompanies, setMostConsumers } from "./lib/topology.mjs";

const { valid, invalid } = JSON.parse(await readFile(join(root, "tests/lib/symbols.json"), "utf8"));

/** A copy of what is rendered and of what it is rendered from, with other companies. */
async function copyWith(companies, mostConsumers) {
  const copy = await mkdtemp(join(tmpdir(), "stockmarket-topology."));
  for (const folder of ["Cargo.toml", "nix", "containers", "nginx", "scripts"])
    await cp(join(root, folder), join(copy, folder), { recursive: true });
  await setCompanies(copy, companies);
  if (mostConsumers) await setMostConsumers(copy, mostConsumers);
  return copy;
}

/** All rendered files by path, or what Nix says against the topology. */
async function rendered(companies, mostConsumers) {
  const copy = await copyWith(companies, mostConsumers);
  try {
    const { stdout } = await promisify(execFile)(
      "nix",
      [
        ...["--extra-experimental-features", "nix-command", "eval", "--store", "dummy://", "--json"],
        ...["--file", join(copy, "nix/renderings")],
      ],
      { maxBuffer: 1 << 26 },
    );
    return { files: JSON.parse(stdout), problem: "" };
  } catch (error) {
    return { files: {}, problem: error.stderr };
  } finally {
    await rm(copy, { recursive: true });
  }
}

/** The environment of a process or service, by the name of the variable. */
const environmentOf = ({ environment }) =>
  Array.isArray(environment)
    ? Object.fromEntries(environment.map((line) => line.match(/^([^=]*)=(.*)$/s).slice(1)))
    : environment;

const lines = (text) => text.split("\n").filter((line) => line && !line.startsWith("#"));

const systems = [
  { file: "process-compose.yaml", partsIn: "processes", consumers: 1 },
  { file: "compose.yml", partsIn: "services", consumers: 2 },
  { file: "stack.yml", partsIn: "services", consumers: 1 },
];

describe("companies with awkward symbols", () => {
  let files;
  before(async () => {
    const result = await rendered(valid, valid.length);
    assert.equal(result.problem, "");
    files = result.files;
  });

  // Their readers follow different versions of YAML, which differ in what is a string.
  for (const version of ["1.1", "1.2"]) {
    for (const { file, partsIn, consumers } of systems) {
      test(`${file}, read as YAML ${version}: each has its consumers, and the publisher publishes all`, () => {
        const parts = parse(files[file], { version })[partsIn];
        const queues = Object.keys(parts)
          .filter((name) => name.startsWith("consumer-"))
          .map((name) => environmentOf(parts[name]).RABBITMQ_QUEUE);
        assert.deepEqual(queues.toSorted(), Array(consumers).fill(valid).flat().toSorted());
        assert.equal(environmentOf(parts.publisher).STOCKS, valid.join(","));
      });
    }
  }

  test("names of processes and containers are valid for hosts, also with a stack's name before them", () => {
    for (const { file, partsIn } of systems) {
      for (const name of Object.keys(parse(files[file])[partsIn])) {
        assert.match(name, /^[a-z0-9]+(-[a-z0-9]+)*$/);
        assert.ok(`stockmarket_${name}`.length <= 63, name);
      }
    }
  });

  test("the variables of the ports are valid in a shell, and all differ", () => {
    const names = lines(files["scripts/ports"]).map((line) => line.split(" ")[0]);
    for (const name of names) assert.match(name, /^[A-Z][A-Z0-9_]*$/);
    assert.equal(new Set(names).size, names.length);
    const { processes } = parse(files["process-compose.yaml"]);
    const used = Object.values(processes).flatMap(({ readiness_probe: probe }) => probe?.http_get?.port ?? []);
    for (const port of used) assert.ok(names.includes(port.slice(2, -1)), port);
  });

  test("scripts get the symbols as they are", () => {
    assert.deepEqual(lines(files["scripts/companies"]), valid);
  });

  test("Prometheus collects the metrics of every consumer", () => {
    const { scrape_configs: jobs } = parse(files["containers/prometheus.yml"]);
    const { targets } = jobs.find(({ job_name: name }) => name === "consumer").static_configs[0];
    const consumers = Object.keys(parse(files["compose.yml"]).services).filter((name) => name.startsWith("consumer-"));
    assert.deepEqual(targets.toSorted(), consumers.map((name) => `${name}:9101`).toSorted());
  });
});

test("symbols of capital letters and digits are in the names as they are", async () => {
  const { files } = await rendered(["MSFT", "3M"]);
  const names = Object.keys(parse(files["process-compose.yaml"]).processes);
  assert.ok(names.includes("consumer-msft") && names.includes("consumer-3m"), names.join());
  for (const variable of ["CONSUMER_MSFT_HTTP_PORT", "CONSUMER_3M_HTTP_PORT"])
    assert.ok(files["scripts/ports"].includes(`\n${variable} `), variable);
});

test("a company keeps its names when others come and go", async () => {
  const consumersOf = async (companies) =>
    Object.keys(parse((await rendered(companies)).files["process-compose.yaml"]).processes).filter((name) =>
      name.startsWith("consumer-"),
    );
  const [alone] = await consumersOf(["BRK.B"]);
  assert.ok((await consumersOf(["brk.b", "BRK-B", "BRK.B"])).includes(alone));
});

test("500 companies share eight consumers, and make as many trades as the topology says", async () => {
  const companies = Array.from({ length: 500 }, (_, number) => `C${number}`);
  const { files, problem } = await rendered(companies);
  assert.equal(problem, "");
  for (const { file, partsIn, consumers } of systems) {
    const parts = parse(files[file])[partsIn];
    const lists = Object.keys(parts)
      .filter((name) => name.startsWith("consumer-"))
      .map((name) => environmentOf(parts[name]).RABBITMQ_QUEUE.split(","));
    assert.equal(lists.length, 8 * consumers);
    for (const list of lists) assert.ok(list.length === 62 || list.length === 63, String(list.length));
    assert.deepEqual(lists.flat().toSorted(), Array(consumers).fill(companies).flat().toSorted());
    assert.match(environmentOf(parts.publisher).TICKER_INTERVAL, /:-100\}$/);
  }
  const { services } = parse(files["compose.yml"]);
  const names = Object.keys(services);
  // The broker gets more memory, and knows.
  assert.equal(services.rabbitmq.mem_limit, "1824m");
  assert.match(files["containers/rabbitmq/rabbitmq.conf"], /^vm_memory_high_watermark.absolute = 1094MiB$/m);
  for (const name of ["consumer-1", "consumer-1-2", "consumer-8", "consumer-8-2"])
    assert.ok(names.includes(name), name);
});

test("the publisher gets the companies' prices and volatilities, in their order, with nothing where none is said", async () => {
  const { files, problem } = await rendered([
    { symbol: "MSFT", price: 430, volatility: 75.5 },
    "AMZN",
    { symbol: "BTC-USD", volatility: 200 },
    { symbol: "X", price: 0.00001 },
  ]);
  assert.equal(problem, "");
  for (const { file, partsIn } of systems) {
    const { PRICE_MODEL, STOCKS, START_PRICES, VOLATILITIES } = environmentOf(parse(files[file])[partsIn].publisher);
    assert.equal(PRICE_MODEL, "walk");
    assert.equal(STOCKS, "MSFT,AMZN,BTC-USD,X");
    assert.deepEqual(START_PRICES.split(",").map(Number), [430, 0, 0, 0.00001]);
    assert.deepEqual(VOLATILITIES.split(",").map(Number), [75.5, 0, 200, 0]);
  }
});

test("the publisher gets no prices and volatilities if none is said", async () => {
  const { files } = await rendered(["MSFT", "TSLA"]);
  for (const { file, partsIn } of systems) {
    const { START_PRICES, VOLATILITIES } = environmentOf(parse(files[file])[partsIn].publisher);
    assert.deepEqual([START_PRICES, VOLATILITIES], [undefined, undefined]);
  }
});

describe("what breaks the rule is refused by name", () => {
  for (const symbol of invalid) {
    test(JSON.stringify(symbol), async () => {
      const { problem } = await rendered(["MSFT", symbol]);
      assert.ok(problem.includes(`${JSON.stringify(symbol)}: `), problem || "it was accepted");
    });
  }

  test("all of them at once, and a symbol that is there twice", async () => {
    const { problem } = await rendered(["MSFT", "a b", "MSFT", "amq.x"]);
    for (const text of ['"a b": a symbol has only', '"amq.x": queues that begin', '"MSFT" is there twice'])
      assert.ok(problem.includes(text), problem);
  });
});

test("prices and volatilities that are no numbers above 0, and what a company cannot have", async () => {
  const { problem } = await rendered([
    { symbol: "A", price: "430", volatility: 0 },
    { symbol: "B", price: -1, pirce: 430 },
    { price: 430 },
  ]);
  for (const text of [
    '"A": its price is no number above 0',
    '"A": its volatility is no number above 0',
    '"B": its price is no number above 0',
    '"B": its pirce means nothing',
    '"": a symbol has 1 to 32 characters',
  ])
    assert.ok(problem.includes(text), problem || "it was accepted");
});

let copy;
after(() => rm(copy, { recursive: true, force: true }));
test("make generate writes nothing for a topology that breaks the rule, and says why", async () => {
  copy = await copyWith(["MS FT"]);
  await writeFile(join(copy, "compose.yml"), "as before");
  const { code, stderr } = await promisify(execFile)(join(copy, "nix/generate")).catch((error) => error);
  assert.notEqual(code, 0);
  assert.match(stderr, /"MS FT": a symbol has only letters, digits and/);
  assert.equal(await readFile(join(copy, "compose.yml"), "utf8"), "as before");
});
