/** Starts the page: routes, header, keys, errors. */

import { h, replace } from "./html.js";
import { followLinks, place, resolve, route } from "./router.js";
import { bindKeys, pressKey } from "./keys.js";
import { showKeys } from "./parts/key-help.js";
import { showProblem } from "./parts/problem.js";
import { header } from "./parts/header.js";

route("/", () => import("./views/home.js"));
route("/indexes/:index", () => import("./views/index.js"));
route("/indexes/:index/trace", () => import("./views/trace.js"));
route("/audits/:audit", () => import("./views/audit.js"));
route("/groups/:groups", () => import("./views/groups.js"));
route("/datasets/:dataset", () => import("./views/dataset.js"));
route("/reviews/:review", () => import("./views/review.js"));
route("/evaluations/:evaluation", () => import("./views/evaluation.js"));
route("/jobs", () => import("./views/jobs.js"));
route("/jobs/:job", () => import("./views/job.js"));
route("/settings", () => import("./views/settings.js"));

const main = document.getElementById("main");
let leaving = new AbortController();

/** Show the view of the present address. Whatever the last view still waits for is ended. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { path, query } = place();
  replace(document.getElementById("top"), header(path));
  bindKeys({ help: showKeys });
  const found = resolve(path);
  try {
    if (!found) throw Object.assign(new Error("There is no such page."), { title: "Not found", hint: "Go back to the start." });
    const view = await found.load();
    const screen = h("div", { class: "view" });
    replace(main, screen);
    await view.show(screen, { ...found.parameters, query, signal });
    if (!signal.aborted) announce(screen);
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    showProblem(main, error, show);
  }
}

function announce(screen) {
  const heading = screen.querySelector("h1");
  document.title = heading ? `${heading.textContent} · DataInf` : "DataInf";
  document.documentElement.dataset.ready = place().path;
}

addEventListener("datainf:navigate", () => {
  document.documentElement.removeAttribute("data-ready");
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
  show();
});
addEventListener("popstate", show);
addEventListener("datainf:key-changed", show);
document.addEventListener("click", followLinks);
document.addEventListener("keydown", pressKey);
show();
