/** Elements from data. Text goes in as text nodes, so whatever a row holds stays text. */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "path", "rect", "line", "circle", "text", "title", "polyline"]);

/**
 * Make an element. `on*` props become listeners, `class` may be a list, `data` an object; null, false and undefined
 * children and props are left out.
 * @param {string} tag
 * @param {object | null} props
 * @param {...any} children
 * @returns {HTMLElement | SVGElement}
 */
export function h(tag, props, ...children) {
  const isDrawing = SVG_TAGS.has(tag) && !(tag === "title" && !props?.svg);
  const element = isDrawing ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) setProperty(element, name, value);
  append(element, children);
  return element;
}

/** A drawing's tooltip: `title` means another thing in HTML. */
export const tip = (text) => h("title", { svg: true }, text);

function setProperty(element, name, value) {
  if (value == null || value === false || name === "svg") return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.setAttribute("class", [value].flat().filter(Boolean).join(" "));
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Add children of any nesting: nodes, texts, numbers. */
export function append(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Put children in place of what an element holds. */
export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, ...children);
}

/** What many views have: remarks, what stands where there is nothing, buttons, named facts, warnings, parts of tables. */
export const faint = (...children) => h("p", { class: "faint" }, children);
export const empty = (text) => h("p", { class: "empty" }, text);
export const buttons = (...children) => h("div", { class: "buttons" }, children);
export const fact = (name, ...value) => h("div", null, h("dt", null, name), h("dd", null, value));
export const warnings = (found) => found.length > 0 && h("ul", { class: "warnings" }, found.map((item) => h("li", null, item.message ?? item)));
export const headings = (names) => h("thead", null, h("tr", null, names.map((name) => h("th", { scope: "col" }, name))));
export const number = (...value) => h("td", { class: "number" }, value);
export const cell = (...children) => h("td", null, children);
export const aside = (...children) => h("span", { class: "faint" }, children);

/** A select of [value, text] pairs. */
export const choice = (pairs, chosen, change) => h("select", { onchange: change && ((event) => change(event.target.value)) },
  pairs.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen ?? "") }, text)));
