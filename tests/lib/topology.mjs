// For tests of another topology than the project's: a copy of the project with other companies.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** As Nix writes it. @param {string | number | object} value */
function inNix(value) {
  if (typeof value === "string") return JSON.stringify(value).replaceAll("$", "\\$");
  if (typeof value === "number") return value.toFixed(10);
  return `{ ${Object.entries(value)
    .map(([name, item]) => `${name} = ${inNix(item)};`)
    .join(" ")} }`;
}

/**
 * Changes the companies of a copy of the project. The generated files follow only with nix/generate.
 *
 * @param {string} project  its folder
 * @param {(string | {symbol?: string, price?: number, volatility?: number})[]} companies
 */
export async function setCompanies(project, companies) {
  const file = join(project, "nix/topology.nix");
  const topology = await readFile(file, "utf8");
  const changed = topology.replace(/(?<= valid )\[[^\]]*\]/, () => `[ ${companies.map(inNix).join(" ")} ]`);
  assert.notEqual(changed, topology, `${file} has no list of companies where this test expects it`);
  await writeFile(file, changed);
}

/**
 * Changes up to how many companies have a consumer each. The generated files follow as above.
 *
 * @param {string} project
 * @param {number} most
 */
export async function setMostConsumers(project, most) {
  const file = join(project, "nix/topology.nix");
  const topology = await readFile(file, "utf8");
  const changed = topology.replace(/(?<= most = )\d+/, String(most));
  assert.notEqual(changed, topology, `${file} does not say where this test expects it how many consumers there are`);
  await writeFile(file, changed);
}
