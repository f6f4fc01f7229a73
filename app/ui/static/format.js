/** Numbers, times and rows as people read them. */

const COUNT = new Intl.NumberFormat("en");

export const count = (value) => (value == null ? "–" : COUNT.format(value));

/** Three significant digits, thousands as k, M, G: scores span many orders. */
export function short(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e15 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  const [unit, step] = [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]].find(([, least]) => size >= least) ?? ["", 1];
  return trim((value / step).toPrecision(3)) + unit;
}

const trim = (text) => (text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text);

export const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + short(Math.abs(value));

export const sideOf = (score) => (score >= 0 ? "helpful" : "harmful");
export const arrowed = (score) => (score >= 0 ? "▲ " : "▼ ") + signed(score);

export const percent = (share, digits = 0) => (share == null ? "–" : `${(100 * share).toFixed(digits)}%`);

export const bytes = (value) => (value == null ? "–" : `${short(Math.round(value)).replace(/[A-Za-z]?$/, " $&B")}`);

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1) return "under a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function ago(moment) {
  const seconds = (Date.now() - new Date(moment).getTime()) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(moment).toISOString().slice(0, 10);
}

export function rowText(row) {
  if (row.image?.digest) return `${row.text ?? "Image"} (${row.image.width} × ${row.image.height})`;
  if (Array.isArray(row.messages)) return row.messages.map((turn) => `${turn.role}: ${messageText(turn)}`).join("\n");
  if (row.prompt !== undefined && row.completion !== undefined) return `${contentText(row.prompt)}\n→ ${contentText(row.completion)}`;
  if (Array.isArray(row.tokens)) return row.tokens.join(" ");
  if (row.text_pair != null) return `${row.text}\n⇢ ${row.text_pair}`;
  return contentText(row.text ?? row);
}

const messageText = (turn) => contentText(turn.content ?? turn.tool_calls ?? "");
const contentText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** A row's id, and what else it carries. */
export const naming = (row) => clip([row.row_id, ...Object.values(row.metadata ?? {})].join(" · "), 60);

export function clip(text, length = 160) {
  const line = text.replace(/\s+/g, " ").trim();
  const characters = [...line];
  return characters.length > length ? `${characters.slice(0, length).join("")}…` : line;
}

/** The names under which a label is shown: the checkpoint's, where labels are numbers. */
export function labelName(label, names) {
  if (label == null) return "–";
  if (Array.isArray(label)) return label.map((item) => labelName(item, names)).join(", ") || "none";
  if (typeof label === "object") return `${label.label} ${label.start}–${label.end}`;
  return String(Number.isInteger(label) && names?.[label] ? names[label] : label);
}

export const shortId = (id) => (id.length > 16 ? `${id.slice(0, 12)}…` : id);
