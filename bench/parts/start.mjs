// How soon is each program ready, and how large are the images?
import { Averages } from "../lib/averages.mjs";
import { mebibytes, number } from "../lib/format.mjs";
import { bars } from "../lib/plot.mjs";
import { freePort } from "../lib/ports.mjs";
import { during, isOk, run, Running, until } from "../lib/processes.mjs";
import { medians } from "../lib/statistics.mjs";
import { consumer, publisher, unique } from "../lib/system.mjs";

export const title = "Start-up and images";

const COMPANY = "MSFT";
const IMAGE = /(^|\/)stock-(publisher|consumer|liveview):/;

export async function measure({ settings, programs, queues, progress }) {
  const rounds = [];
  for (let round = 1; round <= settings.rounds; round += 1) {
    const measured = await starts(programs, queues);
    for (const [name, { seconds }] of Object.entries(measured))
      progress(`round ${round}: ${name}: ready in ${number(seconds)} s`);
    rounds.push(measured);
  }
  return { rounds, images: await images() };
}

/** Each beside servers that are there, in the order in which the system starts them. */
async function starts(programs, queues) {
  const database = new Averages(unique("start"));
  const running = [];
  const ready = async (name, start) => {
    const port = await freePort();
    const begin = performance.now();
    const one = await start(port);
    running.push(one);
    await during(
      [one],
      until(() => isOk(`http://127.0.0.1:${port}/readyz`), `${name} is ready`, 60, 5),
      "ready",
      90,
    );
    return { seconds: (performance.now() - begin) / 1000, ...one.usage() };
  };
  const at = (program, port) => ({
    ...program,
    environment: { ...program.environment, HTTP_ADDRESS: `127.0.0.1:${port}` },
  });
  try {
    return {
      "stock-publisher": await ready("the publisher", (port) =>
        publisher("publisher", at(programs.publisher, port), [COMPANY], 1),
      ),
      "stock-consumer": await ready("the consumer", (port) =>
        consumer("consumer", at(programs.consumer, port), [COMPANY], database.name),
      ),
      "stock-liveview": await ready(
        "the live view",
        (port) =>
          new Running("liveview", programs.liveview.command, {
            MONGODB_URL: process.env.TEST_MONGODB_URL,
            MONGODB_DB: database.name,
            HOST: "127.0.0.1",
            PORT: String(port),
            LOG_LEVEL: "error",
          }),
      ),
    };
  } finally {
    await Promise.all(running.map((one) => one.stop()));
    await queues.remove([COMPANY]);
    await database.close();
  }
}

/** Those that this machine's container engine has. */
async function images() {
  const list = await run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], { timeout: 10_000 }).catch(
    () => "",
  );
  const names = list.split("\n").filter((name) => IMAGE.test(name));
  const sizes = names.map(async (name) => ({
    name,
    bytes: Number(await run(["docker", "image", "inspect", "--format", "{{.Size}}", name])),
  }));
  return Promise.all(sizes);
}

export function render({ rounds, images }) {
  const programs = Object.keys(rounds[0]).map((name) => ({ name, ...medians(rounds.map((round) => round[name])) }));
  return {
    notes:
      images.length > 0 ? [] : ["Sizes of images: not measured. This machine's container engine has none of ours."],
    tables: [
      {
        title: "From its start until a program is ready, beside servers that run",
        columns: ["", "ready, s", "CPU, s", "memory, MiB"],
        rows: programs.map((one) => [
          one.name,
          number(one.seconds),
          number(one.cpuSeconds),
          mebibytes(one.memoryBytes),
        ]),
      },
      ...(images.length > 0
        ? [{ title: "Images", columns: ["", "MiB"], rows: images.map(({ name, bytes }) => [name, mebibytes(bytes)]) }]
        : []),
    ],
    plots: [
      {
        name: "start",
        title: "Seconds until ready",
        svg: bars(
          "Seconds until ready",
          ["s"],
          programs.map(({ name, seconds }) => ({ name, values: [seconds], label: `${number(seconds)} s` })),
        ),
      },
    ],
  };
}
