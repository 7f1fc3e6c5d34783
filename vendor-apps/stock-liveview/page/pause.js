/**
 * What the live view tells while the page is paused. Pure.
 */

/** More updates are not kept: then it is cheaper to ask for the market again. */
export const MAX_WAITING = 20_000;

export class Pause {
  isOn = false;
  /** Updates that wait. */
  waiting = 0;
  /** @type {any[]} */
  #messages = [];

  start() {
    this.isOn = true;
  }

  /** @param {any} message @returns {boolean} whether the page will have all it needs */
  keep(message) {
    const { type, averages, companies } = message;
    this.waiting += (averages ?? companies ?? []).length;
    if (this.waiting > MAX_WAITING) this.#messages = [];
    else this.#messages.push(message);
    return type !== "market" || message.part === message.parts - 1;
  }

  /** Ends the pause. @returns {any[] | undefined} the messages that waited; undefined when there were too many */
  end() {
    const messages = this.waiting > MAX_WAITING ? undefined : this.#messages;
    this.isOn = false;
    this.waiting = 0;
    this.#messages = [];
    return messages;
  }
}
