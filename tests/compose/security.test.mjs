// No one gets in, and each part reaches only what its work needs. security.mjs says what is allowed.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../lib/waiting.mjs";
import { addresses, primary, withMember } from "./database.mjs";
import * as security from "./security.mjs";
import { address, outside, root, System } from "./system.mjs";

const amqp = createRequire(join(root, "tests/package.json"))("amqplib");
const system = new System();

describe("the system in containers", () => {
  before(async () => {
    await system.remove();
    await system.up();
    await system.healthy(180_000);
  });
  after(() => system.remove());

  describe("networks", () => {
    test("each part reaches the parts that it works with, and no others", async () => {
      assert.deepEqual(await security.checkReach(system), []);
    });

    test("no part gets out", async () => {
      await security.withListenerOutside(async (listener) => {
        assert.deepEqual(await security.checkWayOut(system, listener), []);
      });
    });

    test("a scan of all ports of the host finds only NGINX", async () => {
      assert.deepEqual(await security.checkPorts({ all: true }), []);
    });

    test("a visitor who knows the containers' addresses reaches only NGINX from outside", async () => {
      assert.deepEqual(await security.checkDirectWay(system), []);
    });
  });

  describe("processes", () => {
    test("CPUS=0 takes the limit of processors away, for engines without CPU quota", async () => {
      const unlimited = new System([], { CPUS: "0" });
      const { services } = JSON.parse(await unlimited.compose("--profile", "*", "config", "--format", "json"));
      const limited = Object.keys(services).filter((name) => services[name].cpus);
      assert.deepEqual(limited, []);
    });

    test("none is root, has a capability, or can gain one", async () => {
      assert.deepEqual(await security.checkProcesses(system), []);
    });
    test("none can change its image's files", async () => {
      assert.deepEqual(await security.checkFiles(system), []);
    });
    test("all have limits", async () => {
      assert.deepEqual(await security.checkSettings(system), []);
    });
  });

  describe("secrets", () => {
    test("none shows in docker inspect, logs, images, environments or command lines", async () => {
      assert.deepEqual(await security.checkSecrets(system), []);
    });
    test("each part reads only its own", async () => {
      assert.deepEqual(await security.checkSecretFiles(system), []);
    });
  });

  describe("the broker's users", () => {
    /** The broker's answer to a user's use of a channel; undefined when it was allowed. */
    async function refusal(user, password, use) {
      const host = addresses(await system.container("rabbitmq"))[0];
      let connection;
      try {
        connection = await amqp.connect(`amqp://${user}:${password}@${host}:5672/%2f`);
        connection.on("error", () => {});
        const channel = await connection.createConfirmChannel();
        channel.on("error", () => {});
        await use(channel);
        return undefined;
      } catch (error) {
        return error.message;
      } finally {
        await connection?.close().catch(() => {});
      }
    }
    const password = (user) => system.secret(`rabbitmq-${user}.password`);
    const nothing = () => {};

    test("there is no guest, and only the right password works", async () => {
      assert.match(await refusal("guest", "guest", nothing), /ACCESS_REFUSED/);
      assert.match(await refusal("publisher", "wrong", nothing), /ACCESS_REFUSED/);
      assert.match(await refusal("publisher", await password("consumer"), nothing), /ACCESS_REFUSED/);
      assert.equal(await refusal("publisher", await password("publisher"), nothing), undefined);
    });

    const forbidden = [
      ["publisher", "read a company's trades", (channel) => channel.consume("MSFT", nothing)],
      ["publisher", "write into the consumer's queues", (channel) => channel.assertQueue("MSFT.rejected")],
      ["publisher", "declare any exchange", (channel) => channel.assertExchange("any exchange", "fanout")],
      ["publisher", "route trades through an exchange", (channel) => channel.bindQueue("MSFT", "amq.fanout", "")],
      ["consumer", "declare a company's queue", (channel) => channel.assertQueue("OTHER")],
      ["consumer", "delete a company's queue", (channel) => channel.deleteQueue("MSFT")],
      ["consumer", "read what was rejected", (channel) => channel.get("MSFT.rejected")],
      ["monitoring", "read a company's trades", (channel) => channel.consume("MSFT", nothing)],
      ["monitoring", "declare a queue", (channel) => channel.assertQueue("OTHER")],
    ];
    for (const [user, what, use] of forbidden) {
      test(`${user} cannot ${what}`, async () => {
        assert.match((await refusal(user, await password(user), use)) ?? "it could", /ACCESS_REFUSED/);
      });
    }
  });

  describe("the database's users", () => {
    const refused = { unauthorized: 13, authentication: 18 };
    const urlOf = (user) => system.secret(`mongodb-${user}.url`);

    /** The code of the database's refusal; undefined when it was allowed. */
    async function refusal(url, use) {
      const { host } = await primary(system);
      return withMember(host, url, use).then(
        () => undefined,
        ({ code, message }) => code ?? message,
      );
    }
    const stocks = (client) => client.db("stockmarket").collection("stocks");

    test("nobody gets in without a password, or with another user's", async () => {
      assert.equal(await refusal(undefined, (client) => stocks(client).findOne()), refused.unauthorized);
      assert.equal(
        await refusal("mongodb://admin:admin@host", (client) => stocks(client).findOne()),
        refused.authentication,
      );
      const mixed = (await urlOf("consumer")).replace("//consumer:", "//liveview:");
      assert.equal(await refusal(mixed, (client) => stocks(client).findOne()), refused.authentication);
    });

    test("each can do its work", async () => {
      assert.equal(await refusal(await urlOf("liveview"), (client) => stocks(client).findOne()), undefined);
      assert.equal(await refusal(await urlOf("consumer"), (client) => stocks(client).findOne()), undefined);
    });

    const average = { company: "NONE", avgPrice: 1 };
    const forbidden = [
      ["liveview", "write", (client) => stocks(client).insertOne(average)],
      ["liveview", "delete", (client) => stocks(client).deleteMany({ company: "NONE" })],
      ["liveview", "read another database", (client) => client.db("admin").collection("system.users").findOne()],
      [
        "consumer",
        "write into another database",
        (client) => client.db("other").collection("stocks").insertOne(average),
      ],
      [
        "consumer",
        "make a user",
        (client) => client.db("admin").command({ createUser: "other", pwd: "other", roles: ["root"] }),
      ],
      ["consumer", "reconfigure the replica set", (client) => client.db("admin").command({ replSetStepDown: 1 })],
      ["monitoring", "read averages", (client) => stocks(client).findOne()],
    ];
    for (const [user, what, use] of forbidden) {
      test(`${user} cannot ${what}`, async () => {
        assert.equal(await refusal(await urlOf(user), use), refused.unauthorized);
      });
    }
  });

  // Without Grafana: there is no stand-in for it where no registry can be reached.
  const profiles = { management: ["management"], monitoring: ["prometheus", "mongo-metrics"] };
  for (const [profile, services] of Object.entries(profiles)) {
    describe(`with the profile ${profile}`, () => {
      before(() => system.compose("--profile", profile, "up", "--detach", "--wait", ...services));
      after(() => system.compose("--profile", profile, "rm", "--stop", "--force", ...services));

      test("its page can be reached only on the host itself", async () => {
        assert.deepEqual(await security.checkPorts({ profile }), []);
      });
      test("its parts pass the same checks as the others", async () => {
        assert.deepEqual(await security.checkReach(system), []);
        assert.deepEqual(await security.checkProcesses(system), []);
        assert.deepEqual(await security.checkFiles(system), []);
        assert.deepEqual(await security.checkSettings(system), []);
        assert.deepEqual(await security.checkSecrets(system), []);
        assert.deepEqual(await security.checkSecretFiles(system), []);
      });

      if (profile !== "monitoring") return;
      test("Prometheus reaches every part and has every metric of the dashboard", async () => {
        const ask = async (path) => (await (await fetch(`http://127.0.0.1:9090/api/v1/${path}`)).json()).data;
        await eventually("every target answers", 60_000, async () => {
          const { activeTargets } = await ask("targets");
          const down = activeTargets.filter(({ health }) => health !== "up");
          if (down.length > 0)
            throw new Error(down.map(({ scrapeUrl, lastError }) => `${scrapeUrl}: ${lastError}`).join("\n"));
          return activeTargets.length > 0;
        });
        const dashboard = JSON.parse(await readFile(join(root, "containers/grafana/stockmarket.json"), "utf8"));
        // An event that never happened has no metric.
        const mayBeEmpty = /up == 0|rejected|skipped|resent|nacked|reconnects/;
        for (const { title, targets = [] } of dashboard.panels) {
          for (const { expr } of targets) {
            const query = encodeURIComponent(expr.replaceAll("$__rate_interval", "30s"));
            await eventually(`${title}: ${expr}`, 60_000, async () => {
              const { result } = await ask(`query?query=${query}`);
              return result.length > 0 || mayBeEmpty.test(expr);
            });
          }
        }
      });
    });
  }

  // Proves that the checks fail when a protection is missing.
  describe("with the protections taken away", () => {
    let folder;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "stockmarket-override."));
      const url = (await system.secret("rabbitmq-publisher.url")).replaceAll("$", "$$$$");
      await writeFile(
        join(folder, "override.yml"),
        `services:
  publisher:
    user: "0:0"
    read_only: false
    security_opt: !reset []
    cap_drop: !reset []
    networks: [storing]
    environment:
      RABBITMQ_URL: ${JSON.stringify(url)}
      RABBITMQ_URL_FILE: !reset null
  liveview1:
    networks: [edge]
    ports: ["27017:3000"]
`,
      );
      await new System([join(folder, "override.yml")]).compose("up", "--detach", "--no-deps", "publisher", "liveview1");
    });
    after(() => rm(folder, { recursive: true }));

    const has = (problems, pattern) =>
      assert.ok(
        problems.some((problem) => pattern.test(problem)),
        problems.join("\n"),
      );

    test("root in a container is found", async () => {
      const problems = await security.checkProcesses(system);
      has(problems, /^publisher: .* is root$/);
      has(problems, /^publisher: .* has capabilities/);
      has(problems, /^publisher: .* may gain privileges$/);
    });
    test("writable files are found", async () => {
      has(await security.checkFiles(system), /^publisher: \/ can be written/);
      has(await security.checkSettings(system), /^publisher: can write to its image's files$/);
    });
    test("a way to the database is found", async () => {
      has(await security.checkReach(system), /^publisher reaches mongo1$/);
    });
    test("a password in the environment is found", async () => {
      const problems = await security.checkSecrets(system);
      has(problems, /^docker inspect of publisher shows rabbitmq-publisher.password$/);
      has(problems, /^the environment of .* in publisher shows rabbitmq-publisher.password$/);
    });
    test("an open port is found", async () => {
      // The engine opens the port before the live view listens.
      const port = `${address}:27017`;
      await eventually("the port answers", 30_000, async () => (await security.reached(outside, [port])).length > 0);
      has(await security.checkPorts(), /^outside: ports 3000, 27017 of the host are open/);
    });
  });
});
