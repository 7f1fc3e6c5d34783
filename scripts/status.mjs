// Prints each part's health and each company's newest average. Fails unless every part is ready.
import { companies, newestAverages, parts } from "./system.mjs";

// The reader may stop early, as `make status | head -n 3` does.
process.stdout.on("error", (error) => {
  if (error.code !== "EPIPE") throw error;
});

/** The width of a column that holds all of `texts`. */
const widthFor = (texts) => Math.max(16, ...texts.map((text) => text.length + 2));

const all = await parts();
const width = widthFor([...all.map(({ name }) => name), ...companies]);
for (const { name, state, restarts, pid, age } of all) {
  const detail = state === "done" ? "" : `process ${pid}, for ${age}${restarts ? `, restarted ${restarts} times` : ""}`;
  console.log(`${name.padEnd(width)}${state.padEnd(12)}${detail}`);
}
console.log();
const averages = await newestAverages(3000);
for (const company of companies) {
  console.log(`${company.padEnd(width)}${averages.get(company)?.toFixed(4) ?? "no average on the page"}`);
}
process.exitCode = all.every(({ isReady }) => isReady) && companies.every((company) => averages.has(company)) ? 0 : 1;
