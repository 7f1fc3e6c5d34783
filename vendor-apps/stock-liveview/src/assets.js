/**
 * The page's files, read once at start. Their paths contain a hash over all of them, so that browsers may cache them for
 * ever and never mix two versions. The page names them relative to its own address, so that it also works below a path of
 * another proxy.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const PAGE_FOLDER = path.join(import.meta.dirname, "..", "page");

/** @type {Record<string, string>} */
const CONTENT_TYPES = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

/** @typedef {{body: Buffer, contentType: string}} Asset */

/**
 * @typedef {object} Assets
 * @property {string} version            the hash
 * @property {Asset} page                index.html
 * @property {string} pageTag            the page's entity tag
 * @property {(path: string) => Asset | undefined} find  by path, for example `/assets/<hash>/app.js`
 */

/** @returns {Promise<Assets>} */
export async function loadAssets() {
  const ownFiles = (await readdir(PAGE_FOLDER)).filter((name) => path.extname(name) in CONTENT_TYPES).sort();
  const sources = [
    ...ownFiles.map((name) => ({ name, file: path.join(PAGE_FOLDER, name) })),
    { name: "uPlot.js", file: fromPackage("uplot", "dist/uPlot.iife.min.js") },
    { name: "uPlot.css", file: fromPackage("uplot", "dist/uPlot.min.css") },
    { name: "geist.woff2", file: fromPackage("@fontsource-variable/geist", "files/geist-latin-wght-normal.woff2") },
  ];
  const hash = createHash("sha256");
  /** @type {Map<string, Asset>} */
  const byName = new Map();
  for (const { name, file } of sources) {
    const body = await readFile(file);
    hash.update(`${name}\0${body.length}\0`).update(body);
    byName.set(name, { body, contentType: CONTENT_TYPES[path.extname(name)] });
  }
  const version = hash.digest("hex").slice(0, 16);
  const prefix = `/assets/${version}/`;
  const html = (await readFile(path.join(PAGE_FOLDER, "index.html"), "utf8"))
    .replace("<!-- modules -->", modulesOf("app.js", byName).map(preload).join("\n    "))
    .replaceAll('="assets/', `="assets/${version}/`);
  const body = Buffer.from(html);
  return {
    version,
    page: { body, contentType: "text/html; charset=utf-8" },
    pageTag: `"${createHash("sha256").update(body).digest("hex").slice(0, 16)}"`,
    find: (name) => (name.startsWith(prefix) ? byName.get(name.slice(prefix.length)) : undefined),
  };
}

/**
 * A module and all that it imports before it runs. What it imports later is not among them.
 * @param {string} name @param {Map<string, Asset>} files
 */
function modulesOf(name, files) {
  const found = new Set([name]);
  for (const module of found) {
    const imports = String(files.get(module)?.body).matchAll(/^(?:import|\}) .*from "\.\/([\w-]+\.js)";$/gm);
    for (const [, imported] of imports) found.add(imported);
  }
  return [...found];
}

/** Browsers fetch a module at once, rather than when they have read those that import it. @param {string} name */
function preload(name) {
  return `<link rel="modulepreload" href="assets/${name}">`;
}

/** @param {string} name @param {string} file */
function fromPackage(name, file) {
  return path.join(path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), file);
}
