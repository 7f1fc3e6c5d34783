/**
 * Helpers for the document. Text from the database is only ever set as text.
 */

/** @param {string} id */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** @param {HTMLElement} element @param {string} selector */
export function find(element, selector) {
  return /** @type {HTMLElement} */ (element.querySelector(selector));
}

/** Sets text only where it changed, so that screen readers stay silent otherwise. @param {HTMLElement} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets a data attribute only where it changed: styles depend on it. @param {HTMLElement} element @param {string} name @param {string} value */
export function setData(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

/** A copy of the template's first element. @param {string} id */
export function fromTemplate(id) {
  const { content } = /** @type {HTMLTemplateElement} */ (byId(id));
  return /** @type {HTMLElement} */ (/** @type {HTMLElement} */ (content.firstElementChild).cloneNode(true));
}

/** Returns a function that fills in the element of a fact's name. @param {HTMLElement} element @returns {(name: string, text: string) => void} */
export function factSetter(element) {
  return (name, text) => setText(find(element, `[data-fact="${name}"]`), text);
}

/** @param {string} className @param {string} text */
export function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}
