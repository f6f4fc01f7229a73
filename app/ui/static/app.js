import { h, replace } from "./html.js";
import { followLinks, place, resolve } from "./router.js";
import { bindKeys, kept, pressKey } from "./keys.js";
import { problemBox } from "./parts/problem.js";
import { header, showKeys } from "./header.js";

const main = document.getElementById("main");
let leaving = new AbortController();

/** Show the view of the present address. Whatever the last view still waits for is ended. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { path, query } = place();
  replace(document.getElementById("top"), header(path));
  bindKeys({});
  const found = resolve(path);
  try {
    if (!found) throw Object.assign(new Error("There is no such page."), { title: "Not found", hint: "Go back to the start." });
    const view = await import(found.view);
    const screen = h("div.view");
    replace(main, screen);
    await view.show(screen, { ...found.parameters, query, signal });
    if (!signal.aborted) announce(screen);
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    replace(main, problemBox(error, show));
  }
}

function announce(screen) {
  const heading = screen.querySelector("h1");
  document.title = heading ? `${heading.textContent} · DataInf` : "DataInf";
  document.documentElement.dataset.ready = place().path;
}

addEventListener("datainf:navigate", () => {
  document.documentElement.removeAttribute("data-ready");
  document.querySelector("dialog")?.close();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
  show();
});
addEventListener("popstate", show);
addEventListener("datainf:key-changed", show);
kept.help = showKeys;
document.addEventListener("click", followLinks);
document.addEventListener("keydown", pressKey);
show();
