/** Keys: declared by views, shown by `?`, changeable in Settings. */

const STORED = "datainf-keys";
export const kept = {}; // keys that every view has
let active = []; // [{name, key, text, run}] of the view that is shown

export const changedKeys = () => JSON.parse(localStorage.getItem(STORED) ?? "{}");
export const changeKey = (name, key) =>
  localStorage.setItem(STORED, JSON.stringify({ ...changedKeys(), [name]: key }));
export const resetKeys = () => localStorage.removeItem(STORED);

export const ACTIONS = {
  keep: ["q", "Keep the label"],
  accept: ["w", "Accept the suggested label"],
  remove: ["e", "Remove the row"],
  later: ["n", "Decide later"],
  undo: ["u", "Take the last decision back"],
  next: ["j", "Next row"],
  previous: ["k", "Previous row"],
  search: ["/", "Search"],
  help: ["?", "Show the keys"],
};

export const keyOf = (name) => changedKeys()[name] ?? ACTIONS[name]?.[0];

/** Replace the keys of the view that is shown. `bindings`: name of an action, or a key itself -> function. */
export function bindKeys(bindings) {
  active = Object.entries({ ...bindings, ...kept }).map(([name, run]) => ({ key: keyOf(name) ?? name, run, name }));
}

export const boundKeys = () => active;

export function pressKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const target = event.target;
  if (target.isContentEditable || target.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select")) return;
  if (document.querySelector("dialog[open]")) return;
  const binding = active.find((candidate) => candidate.key === event.key);
  if (!binding) return;
  event.preventDefault();
  binding.run(event);
}
