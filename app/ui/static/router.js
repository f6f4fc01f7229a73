/** All state of a view stands in its address: a copied link shows the same on any replica. */

const BASE = "/ui";
const VIEWS = Object.entries({
  "/": "home",
  "/indexes/:index": "index",
  "/indexes/:index/trace": "trace",
  "/compare": "compare",
  "/audits/:audit": "audit",
  "/groups/:groups": "groups",
  "/datasets/:dataset": "dataset",
  "/reviews/:review": "review",
  "/evaluations/:evaluation": "evaluation",
  "/jobs": "jobs",
  "/jobs/:job": "job",
  "/settings": "settings",
}).map(([path, view]) => [new RegExp(`^${path.replace(/:(\w+)/g, "(?<$1>[A-Za-z0-9_-]+)")}/?$`), view]);

/** The module of the view at a path, with what the path names; null where there is none. */
export function resolve(path) {
  const found = VIEWS.find(([pattern]) => pattern.test(path));
  return found ? { view: `./views/${found[1]}.js`, parameters: found[0].exec(path).groups } : null;
}

export const place = () => ({
  path: location.pathname.slice(BASE.length) || "/",
  query: Object.fromEntries(new URLSearchParams(location.search)),
});

/** A path with a query. Parameters that are null, empty or undefined are left out. */
export function withQuery(path, query) {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value != null && value !== "")).toString();
  return text ? `${path}?${text}` : path;
}

export const tracePath = (index, dataset, row) => withQuery(`/indexes/${index}/trace`, { dataset, row });

export function go(path, query = {}) {
  history.pushState(null, "", withQuery(BASE + path, query));
  dispatchEvent(new Event("datainf:navigate"));
}

/** Change parameters of the present view, which shows the change itself. */
export function note(changes, { push = false } = {}) {
  const { path, query } = place();
  history[push ? "pushState" : "replaceState"](null, "", withQuery(BASE + path, { ...query, ...changes }));
}

/** Links of the page change the view instead of loading it anew. */
export function followLinks(event) {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || link.target || link.origin !== location.origin || !link.pathname.startsWith(`${BASE}/`)) return;
  if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
  event.preventDefault();
  go(link.pathname.slice(BASE.length) + link.search);
}
