/**
 * A search box for companies to compare with: a combobox with a list of what matches.
 */
import { find } from "./dom.js";

/** Matches that are listed. One more letter finds the others. */
const MAX_LISTED = 50;

/**
 * @param {HTMLElement} element  holds an input and a list
 * @param {() => string[]} candidates  companies' names, in alphabetical order
 * @param {(name: string) => void} onChoose
 */
export function companySearch(element, candidates, onChoose) {
  const input = /** @type {HTMLInputElement} */ (find(element, "input"));
  const list = find(element, "ul");
  /** @type {string[]} */
  let listed = [];
  let active = -1;

  const close = () => {
    listed = [];
    active = -1;
    list.hidden = true;
    list.replaceChildren();
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  /** @param {string} name */
  const choose = (name) => {
    input.value = "";
    close();
    onChoose(name);
  };
  /** @param {number} index */
  const activate = (index) => {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = index;
    const option = list.children[active];
    if (!option) return;
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  };
  const open = () => {
    listed = matching(candidates(), input.value).slice(0, MAX_LISTED);
    list.replaceChildren(...listed.map((name, index) => createOption(name, index)));
    list.hidden = listed.length === 0;
    input.setAttribute("aria-expanded", String(listed.length > 0));
    input.removeAttribute("aria-activedescendant");
    active = -1;
    if (input.value !== "") activate(0);
  };

  input.addEventListener("input", open);
  input.addEventListener("click", open);
  input.addEventListener("blur", close);
  // Without a press there is no blur, so that a click reaches the option.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", ({ target }) => {
    const option = /** @type {HTMLElement} */ (target).closest("li");
    if (option) choose(listed[Number(option.dataset.index)]);
  });
  input.addEventListener("keydown", (event) => {
    const isOpen = !list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) open();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (listed.length > 0) activate((Math.max(active, step < 0 ? 0 : -1) + step + listed.length) % listed.length);
    } else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      choose(listed[active]);
    } else if (event.key === "Escape" && (isOpen || input.value !== "")) {
      event.preventDefault();
      event.stopPropagation();
      input.value = "";
      close();
    }
  });
}

/** Names that contain what was typed; those that begin with it first. @param {string[]} names @param {string} typed */
export function matching(names, typed) {
  const wanted = typed.trim().toLowerCase();
  const found = names.filter((name) => name.toLowerCase().includes(wanted));
  const isFirst = (/** @type {string} */ name) => name.toLowerCase().startsWith(wanted);
  return [...found.filter(isFirst), ...found.filter((name) => !isFirst(name))];
}

/** @param {string} name @param {number} index */
function createOption(name, index) {
  const option = document.createElement("li");
  option.id = `compare-option-${index}`;
  option.role = "option";
  option.setAttribute("aria-selected", "false");
  option.dataset.index = String(index);
  option.textContent = name;
  return option;
}
