/** Elements from data. Text goes in as text nodes, so whatever a row holds stays text. */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "path", "rect", "line", "circle", "text", "polyline"]);

/**
 * Make an element: `h("p.faint", {title}, "text")`. Props may be left out; `on*` become listeners, `class` may be a list; null,
 * false and undefined, props and children, are left out.
 */
export function h(name, ...given) {
  const [tag, ...classes] = name.split(".");
  const props = isProps(given[0]) ? given.shift() : {};
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props)) setProperty(element, key, value);
  return append(element, given);
}

const isProps = (value) => value?.constructor === Object;

/** A drawing's tooltip: `title` means another thing in HTML. */
export const tip = (text) => append(document.createElementNS(SVG, "title"), text);

function setProperty(element, name, value) {
  if (value == null || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.setAttribute("class", [value].flat().filter(Boolean).join(" "));
  else if (["value", "checked", "disabled", "selected"].includes(name)) element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

export function append(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, ...children);
}

export const faint = (...children) => h("p.faint", children);
export const aside = (...children) => h("span.faint", children);
export const empty = (...children) => h("p.empty", children);
export const buttons = (...children) => h("div.buttons", children);
export const link = (path, text, kind) => h("a", { class: kind, href: `/ui${path}` }, text);
export const section = (title, ...children) => h("section", h("h2", title), children);
export const facts = (...found) => h("dl.facts", found);
export const fact = (name, ...value) => h("div", h("dt", name), h("dd", value));
export const plainList = (items) => h("ul.plain", items.map((item) => h("li", item)));
export const warnings = (found) => found.length > 0 && h("ul.warnings", found.map((item) => h("li", item.message ?? item)));
export const cell = (...children) => h("td", children);
export const number = (...value) => h("td.number", value);
export const rowHead = (...children) => h("th", { scope: "row" }, children);

const cellsOf = (row) => row?.cells ?? row?.flat() ?? [];

/** A table of `[name, ...]` and rows of cells; a name that begins with a dot is for those who cannot see the column. */
export const table = (names, rows, kind = "wide") => reachable(h("table", { class: kind },
  names && h("thead", h("tr", names.map((name, i) => h("th", { scope: "col", class: cellsOf(rows[0])[i]?.className?.startsWith("number") && "number" },
    name[0] === "." ? h("span.hidden", name.slice(1)) : name)))),
  h("tbody", rows.map((row) => (row instanceof Node ? row : h("tr", row))))));

/** What may scroll and holds nothing to go to. */
const reachable = (made) => Object.assign(made, made.querySelector("a, button, input") ? {} : { tabIndex: 0 });

export const choice = (pairs, chosen, change) => h("select", { onchange: change && ((event) => change(event.target.value)) },
  pairs.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen ?? "") }, text)));
