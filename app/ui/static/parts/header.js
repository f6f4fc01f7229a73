/** The header: where one is, and the few places that are always at hand. */

import { h } from "../html.js";
import { showKeys } from "./key-help.js";

const PLACES = [
  ["/", "Home"],
  ["/jobs", "Jobs"],
  ["/settings", "Settings"],
];

/** The header of a path. */
export function header(path) {
  const links = PLACES.map(([target, text]) =>
    h("a", { href: `/ui${target}`, "aria-current": isHere(path, target) ? "page" : null }, text),
  );
  return [
    h("a", { class: "brand", href: "/ui/" }, h("img", { src: "/ui/static/icon.svg", alt: "", width: 24, height: 24 }), "DataInf"),
    h("nav", { "aria-label": "Places" }, links),
    h("span", { class: "grow" }),
    h("span", { class: "legend" }, h("span", { class: "helpful" }, "▲ helpful"), h("span", { class: "harmful" }, "▼ harmful")),
    h("button", { class: "quiet", onclick: showKeys, title: "Keys of this page" }, "Keys ?"),
    h("a", { class: "quiet", href: "/docs", target: "_blank", rel: "noopener" }, "API"),
  ];
}

const isHere = (path, target) => (target === "/" ? path === "/" : path.startsWith(target));
