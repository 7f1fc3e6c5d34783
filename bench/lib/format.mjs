// Numbers and tables as people read them.

/** Three significant digits are what a measurement is worth; whole numbers from 100 on. @param {number | undefined} value */
export function number(value) {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.min(digits, 3) });
}

/** @param {number} value */
export const count = (value) => Math.round(value).toLocaleString("en-US");

export const mebibytes = (bytes) => number(bytes / 2 ** 20);

/** @param {string[]} columns @param {(string | number)[][]} rows  the first column is a name, the others are numbers */
export function markdown(columns, rows) {
  const cells = (row) => `| ${row.join(" | ")} |`;
  const alignment = columns.map((_, index) => (index === 0 ? "---" : "---:"));
  return [cells(columns), cells(alignment), ...rows.map(cells)].join("\n");
}

/** The same for a terminal. @param {string[]} columns @param {(string | number)[][]} rows */
export function plain(columns, rows) {
  const lines = [columns, ...rows].map((row) => row.map((cell) => String(cell).replaceAll("**", "")));
  const widths = columns.map((_, index) => Math.max(...lines.map((row) => row[index].length)));
  const pad = (cell, index) => (index === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[index]));
  return lines.map((row) => row.map(pad).join("  ")).join("\n");
}
