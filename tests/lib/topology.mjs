// For tests of another topology than the project's: a copy of the project with other companies.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Changes the companies of a copy of the project. The generated files follow only with nix/generate. */
export async function setCompanies(project, companies) {
  const file = join(project, "nix/topology.nix");
  const topology = await readFile(file, "utf8");
  const strings = companies.map((symbol) => JSON.stringify(symbol).replaceAll("$", "\\$")).join(" ");
  const changed = topology.replace(/"MSFT"\s+"TSLA"\s+"AAPL"/, () => strings);
  assert.notEqual(changed, topology, `${file} has other companies than this test expects`);
  await writeFile(file, changed);
}
