/**
 * The version of this page, and what happens when a live view serves another one.
 */

/** A screen on the wall reloads itself at most so often: while live views of both versions run, they take turns. */
const RELOAD_MS = 10 * 60_000;
const KEY = "stockmarket.reloaded";

/** It is in the address of the page's files. */
export function ownVersion() {
  return new URL(import.meta.url).pathname.split("/").at(-2);
}

/** Reloads the page, unless it has just done so. */
export function reloadOnce() {
  try {
    if (Date.now() - Number(sessionStorage.getItem(KEY)) < RELOAD_MS) return;
    sessionStorage.setItem(KEY, String(Date.now()));
    location.reload();
  } catch {
    // Without storage it cannot tell how often it has reloaded.
  }
}
