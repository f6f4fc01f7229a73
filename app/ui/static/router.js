/** All state of a view stands in its address: a copied link shows the same on any replica. */

const BASE = "/ui";
const routes = []; // [RegExp, names, load]

/** Declare a view: `path` with `:names`, `load` imports its module. */
export function route(path, load) {
  const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1]);
  const pattern = new RegExp(`^${path.replace(/:\w+/g, "([A-Za-z0-9_-]+)")}/?$`);
  routes.push([pattern, names, load]);
}

/** Where the page is: path below /ui and query parameters. */
export const place = () => ({
  path: location.pathname.slice(BASE.length) || "/",
  query: Object.fromEntries(new URLSearchParams(location.search)),
});

/** The address of a view. Parameters that are null, empty or undefined are left out. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(given).toString();
  return BASE + path + (text ? `?${text}` : "");
}

/** Go to a view. */
export function go(path, query = {}) {
  history.pushState(null, "", address(path, query));
  dispatchEvent(new Event("datainf:navigate"));
}

/** Change parameters of the present view without leaving it; the view itself shows the change. */
export function note(changes, { push = false } = {}) {
  const { path, query } = place();
  const target = address(path, { ...query, ...changes });
  history[push ? "pushState" : "replaceState"](null, "", target);
}

/** The view of an address, or null. */
export function resolve(path) {
  for (const [pattern, names, load] of routes) {
    const match = pattern.exec(path);
    if (match) return { load, parameters: Object.fromEntries(names.map((name, i) => [name, match[i + 1]])) };
  }
  return null;
}

/** Links of the page change the view instead of loading it anew. */
export function followLinks(event) {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || link.target || link.origin !== location.origin) return;
  if (!link.pathname.startsWith(`${BASE}/`) || link.pathname.startsWith(`${BASE}/static/`)) return;
  if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  dispatchEvent(new Event("datainf:navigate"));
}
