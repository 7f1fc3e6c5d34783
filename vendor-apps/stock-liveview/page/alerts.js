/**
 * The dialog in which one sets thresholds, and the notifications about them.
 */
import { byId, find, fromTemplate, setText } from "./dom.js";
import { exact, price } from "./format.js";

/** @typedef {import("./store.js").Company} Company */
/** @typedef {import("./thresholds.js").Thresholds} Thresholds */

const canNotify = "Notification" in globalThis && isSecureContext;

export class Alerts {
  #thresholds;
  #companies;
  #onChange;
  #dialog = /** @type {HTMLDialogElement} */ (byId("alerts"));
  #name = /** @type {HTMLInputElement} */ (byId("alert-company"));
  #above = /** @type {HTMLInputElement} */ (byId("alert-above"));
  #below = /** @type {HTMLInputElement} */ (byId("alert-below"));

  /** @param {Thresholds} thresholds @param {() => readonly Company[]} companies @param {() => void} onChange */
  constructor(thresholds, companies, onChange) {
    this.#thresholds = thresholds;
    this.#companies = companies;
    this.#onChange = onChange;
    find(this.#dialog, "form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#set();
    });
    byId("alerts-close").addEventListener("click", () => this.#dialog.close());
    const notify = byId("alerts-notify");
    notify.addEventListener("click", async () => {
      await Notification.requestPermission();
      this.#show();
    });
  }

  /** @param {string} [company]  that the keyboard is at */
  open(company = "") {
    this.#name.value = company;
    this.#prefill();
    byId("alert-companies").replaceChildren(
      ...this.#companies().map(({ name }) => Object.assign(document.createElement("option"), { value: name })),
    );
    this.#show();
    this.#dialog.showModal();
  }

  /** Notifies about prices that have just gone beyond their thresholds, if that is allowed. */
  check() {
    for (const [name] of this.#thresholds.all()) {
      const newest = this.#companies().find((company) => company.name === name)?.newest;
      if (!newest) continue;
      const side = this.#thresholds.crossed(name, newest.avgPrice);
      if (!side || !canNotify || Notification.permission !== "granted") continue;
      const { [side]: limit } = this.#thresholds.get(name);
      // On phones only a service worker may notify: there the mark on the card has to do.
      try {
        new Notification(`${name} ${price(newest.avgPrice)}`, {
          body: `${side} ${exact(limit)}`,
          tag: `stockmarket-${name}`,
        });
      } catch {
        return;
      }
    }
  }

  #prefill() {
    const { above, below } = this.#thresholds.get(this.#name.value);
    this.#above.value = above === undefined ? "" : String(above);
    this.#below.value = below === undefined ? "" : String(below);
  }

  #set() {
    const name = this.#name.value.trim();
    if (!name) return;
    const numberOf = (/** @type {HTMLInputElement} */ { value }) => (value.trim() === "" ? undefined : Number(value));
    this.#thresholds.set(name, { above: numberOf(this.#above), below: numberOf(this.#below) });
    this.#changed();
    this.#name.value = "";
    this.#prefill();
    this.#name.focus();
  }

  #changed() {
    this.#onChange();
    this.#show();
  }

  #show() {
    const items = this.#thresholds.all().map(([name, { above, below }]) => {
      const item = fromTemplate("alert-template");
      const limits = [
        above === undefined ? "" : `above ${exact(above)}`,
        below === undefined ? "" : `below ${exact(below)}`,
      ];
      setText(find(item, ".alert-text"), `${name} ${limits.filter(Boolean).join(" or ")}`);
      const remove = find(item, "button");
      remove.setAttribute("aria-label", `Remove the threshold of ${name}`);
      remove.addEventListener("click", () => {
        this.#thresholds.set(name, {});
        this.#changed();
      });
      return item;
    });
    byId("alert-list").replaceChildren(...items);
    byId("alerts-notify").hidden = !canNotify || Notification.permission !== "default";
  }
}
