/** The public API as the page calls it. Nothing here is private to the page. */

const KEY = "datainf-key";

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail ?? `The service answered ${status}.`);
    Object.assign(this, { title: "The service could not be reached", hint: "Try again in a moment.", ...body, status });
  }
}

export const apiKey = () => sessionStorage.getItem(KEY) ?? "";
export const setApiKey = (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY));

/** One call. Throws a Problem for a refusal, and where nothing answers. */
export async function call(path, options = {}) {
  const headers = { ...(apiKey() ? { Authorization: `Bearer ${apiKey()}` } : {}), ...options.headers };
  const response = await fetch(path, { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service does not answer.", hint: "Check that it runs, then try again." }, 0);
  });
  if (response.ok) return response;
  throw new Problem(await response.json().catch(() => ({})), response.status);
}

export const get = async (path, signal) => (await call(path, { signal })).json();

export const find = (path, signal) => get(path, signal).catch(() => null);

async function send(method, path, body, headers) {
  const isForm = body instanceof FormData;
  const response = await call(path, {
    method,
    headers: { ...(body && !isForm && { "Content-Type": "application/json" }), ...headers },
    body: isForm ? body : body && JSON.stringify(body),
    // A decision goes out even if the page is closed right behind it.
    keepalive: method === "PATCH",
  });
  return response.status === 204 ? null : response.json();
}

/** A form's parts: what is no file and no text goes in as JSON, what is not said stays out. */
export function formOf(parts) {
  const body = new FormData();
  for (const [name, value] of Object.entries(parts)) {
    if (value !== undefined) body.set(name, value instanceof Blob || typeof value === "string" ? value : JSON.stringify(value));
  }
  return body;
}

export const post = (path, body, headers) => send("POST", path, body, { "Idempotency-Key": newKey(), ...headers });
export const patch = (path, body, headers) => send("PATCH", path, body, headers);
export const remove = (path) => send("DELETE", path);

/** Fetch a file with the key and hand it to the browser as a download. */
export async function download(path, name, accept) {
  const response = await call(path, { headers: accept ? { Accept: accept } : {} });
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(await response.blob()), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const newKey = () => `ui-${Date.now().toString(36)}-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;

/** All items of a listing, page by page, up to a bound. */
export async function list(path, signal) {
  const items = [];
  let after = null;
  do {
    const mark = path.includes("?") ? "&" : "?";
    const page = await get(`${path}${mark}limit=100${after ? `&after=${encodeURIComponent(after)}` : ""}`, signal);
    items.push(...page.data);
    after = page.has_more ? page.next : null;
  } while (after && items.length < 200);
  return items;
}

/** Watch a job until it is final, by events, or by polling where they are lost; `show` gets every state. Answers the job. */
export async function watch(jobId, show, signal) {
  for (;;) {
    const job = (await follow(jobId, show, signal).catch(forgive)) ?? (await get(`/v1/jobs/${jobId}`, signal).catch(forgive));
    if (job) show(job);
    if (job && isFinal(job)) return job;
    await pause(1000, signal);
  }
}

/** Whatever may pass is waited for. */
function forgive(error) {
  if (error.name === "AbortError" || [401, 403, 404].includes(error.status)) throw error;
  return null;
}

/** The final job of an event stream; null where the stream ends before. */
async function follow(jobId, show, signal) {
  const response = await call(`/v1/jobs/${jobId}/events`, { signal, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return null;
    const events = (text + value).split(/\r?\n\r?\n/);
    text = events.pop();
    for (const [, data] of events.flatMap((event) => [...event.matchAll(/^data: ?(.+)$/gm)])) {
      const job = JSON.parse(data);
      if (isFinal(job)) return reader.cancel().then(() => job);
      if (job.state) show(job);
    }
  }
}

export const isFinal = (job) => ["succeeded", "failed", "cancelled"].includes(job.state);

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
