import { cell, faint, h, link, table } from "./html.js";
import { ACTIONS, boundKeys } from "./keys.js";
import { openDialog } from "./parts/dialog.js";

const PLACES = { "/": "Home", "/jobs": "Jobs", "/settings": "Settings" };

export const showKeys = () => openDialog("Keys",
  table(null, boundKeys().map(({ key, name }) => [cell(h("kbd", key)), cell(ACTIONS[name]?.[1] ?? name)]), null),
  faint("Keys can be changed under ", link("/settings", "Settings"), "."));

export function header(path) {
  const links = Object.entries(PLACES).map(([target, text]) => h("a", { href: `/ui${target}`, "aria-current": path === target ? "page" : null }, text));
  return [
    h("a.brand", { href: "/ui/" }, "DataInf"),
    h("nav", { "aria-label": "Places" }, links),
    h("span.grow"),
    h("span.legend", h("span.helpful", "▲ helpful"), h("span.harmful", "▼ harmful")),
    h("button.quiet", { onclick: showKeys, title: "Keys of this page" }, "Keys ?"),
    h("a.quiet", { href: "/docs", target: "_blank", rel: "noopener" }, "API")];
}

