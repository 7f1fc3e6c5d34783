// Prints the newest average of every company, as the page shows it.
import { companies, newestAverages } from "./system.mjs";

const averages = await newestAverages(3000);
for (const company of companies) {
  console.log(`${company}  ${averages.has(company) ? averages.get(company).toFixed(4) : "no average on the page"}`);
}
