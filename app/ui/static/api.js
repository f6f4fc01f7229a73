/** The public API as the page calls it. Nothing here is private to the page. */

const KEY = "datainf-key";

/** An error as the API describes it. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail ?? body.title ?? `The service answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "unknown";
    this.title = body.title ?? "The service could not be reached";
    this.hint = body.hint ?? "Try again in a moment.";
    this.requestId = body.request_id ?? null;
    this.body = body;
  }
}

export const apiKey = () => sessionStorage.getItem(KEY) ?? "";
export const setApiKey = (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY));

function headers(extra) {
  const key = apiKey();
  return { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...extra };
}

/** One call; answers the Response. Throws a Problem for every refusal and for a service that cannot be reached. */
export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service does not answer.", hint: "Check that it runs, then try again." }, 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Problem(body, response.status);
}

const answers = new Map(); // path -> {etag, body}: what cannot change is not sent twice

/** GET a JSON resource. */
export async function get(path, signal) {
  const known = answers.get(path);
  const response = await fetchKnown(path, known, signal);
  if (response === null) return known.body;
  const body = await response.json();
  const etag = response.headers.get("ETag");
  if (etag) answers.set(path, { etag, body });
  return body;
}

/** The same, or null where it cannot be had. */
export const find = (path, signal) => get(path, signal).catch(() => null);

async function fetchKnown(path, known, signal) {
  try {
    return await call(path, { signal, headers: known ? { "If-None-Match": known.etag } : {} });
  } catch (error) {
    if (known && error.status === 304) return null;
    throw error;
  }
}

/** Send JSON. `idempotencyKey` makes a repeated click one request. */
export async function send(method, path, body, extra = {}) {
  const response = await call(path, {
    method,
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...extra },
    body: body === undefined ? undefined : JSON.stringify(body),
    // A decision goes out even if the page is closed right behind it.
    keepalive: method === "PATCH",
  });
  return response.status === 204 ? null : response.json();
}

export const post = (path, body, extra) => send("POST", path, body, { "Idempotency-Key": newKey(), ...extra });
export const patch = (path, body, extra) => send("PATCH", path, body, extra);
export const remove = (path) => send("DELETE", path);

/** Send a form with files. */
export async function upload(path, form) {
  const response = await call(path, { method: "POST", headers: { "Idempotency-Key": newKey() }, body: form });
  return response.json();
}

/** Fetch a file with the key and hand it to the browser as a download. */
export async function download(path, name, accept) {
  const response = await call(path, { headers: accept ? { Accept: accept } : {} });
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const newKey = () => `ui-${Date.now().toString(36)}-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;

/** All items of a listing, page by page, up to a bound. */
export async function list(path, signal, most = 200) {
  const items = [];
  let after = null;
  do {
    const mark = path.includes("?") ? "&" : "?";
    const page = await get(`${path}${mark}limit=100${after ? `&after=${encodeURIComponent(after)}` : ""}`, signal);
    items.push(...page.data);
    after = page.has_more ? page.next : null;
  } while (after && items.length < most);
  return items;
}

/**
 * Watch a job until it is final: by its event stream, by polling where the stream is lost.
 * @param {string} jobId
 * @param {(job: object) => void} show called with every state
 * @param {AbortSignal} signal
 * @returns {Promise<object>} the final job
 */
export async function watch(jobId, show, signal) {
  for (;;) {
    try {
      const job = await follow(jobId, show, signal);
      if (job) return job;
    } catch (error) {
      if (error.name === "AbortError" || (error instanceof Problem && [401, 404].includes(error.status))) throw error;
    }
    await pause(1000, signal);
    const job = await get(`/v1/jobs/${jobId}`, signal);
    show(job);
    if (isFinal(job)) return job;
  }
}

async function follow(jobId, show, signal) {
  const response = await call(`/v1/jobs/${jobId}/events`, { signal, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return null;
    text += value;
    const events = text.split(/\r?\n\r?\n/);
    text = events.pop();
    for (const event of events) {
      const job = parseEvent(event);
      if (!job) continue;
      show(job);
      if (isFinal(job)) {
        reader.cancel();
        return job;
      }
    }
  }
}

function parseEvent(event) {
  const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
  if (!data.length) return null;
  const job = JSON.parse(data.join("\n"));
  return job.id && job.state ? job : null;
}

export const isFinal = (job) => ["succeeded", "failed", "cancelled"].includes(job.state);

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
