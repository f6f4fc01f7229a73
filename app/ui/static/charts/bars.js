/** Bars in rows of text: how much, which way, with the number beside them. */

import { h } from "../html.js";
import { signed } from "../format.js";

/** A bar from the middle: to the right for helpful, to the left for harmful. `most` is the largest size of all. */
export function scoreBar(score, most) {
  const share = most > 0 ? Math.min(1, Math.abs(score) / most) : 0;
  const isHelpful = score >= 0;
  return h("span", { class: ["score", isHelpful ? "helpful" : "harmful"], title: String(score) },
    h("svg", { viewBox: "0 0 100 10", class: "bar", "aria-hidden": "true", preserveAspectRatio: "none" },
      h("rect", { class: "track", x: 0, y: 0, width: 100, height: 10 }),
      h("rect", { class: isHelpful ? "helpful-fill" : "harmful-fill", x: isHelpful ? 50 : 50 - 50 * share, y: 1, width: 50 * share, height: 8 }),
      h("line", { class: "axis", x1: 50, x2: 50, y1: 0, y2: 10 }),
    ),
    h("span", { class: "number" }, isHelpful ? "▲ " : "▼ ", signed(score)),
  );
}

/** A bar for a share from 0 to 1 with its text. */
export function shareBar(share, text, kind = "plain") {
  return h("span", { class: "share" },
    h("svg", { viewBox: "0 0 100 10", class: "bar", "aria-hidden": "true", preserveAspectRatio: "none" },
      h("rect", { class: "track", x: 0, y: 0, width: 100, height: 10 }),
      h("rect", { class: `${kind}-fill`, x: 0, y: 1, width: 100 * Math.min(1, Math.max(0, share)), height: 8 }),
    ),
    h("span", { class: "number" }, text),
  );
}

/** How often each value occurs, most often first, as share bars. */
export function mix(values, name = (value) => String(value)) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8);
  return h("ul", { class: "mix" }, sorted.map(([value, number]) =>
    h("li", null, h("span", { class: "mix-name" }, name(value)), shareBar(number / values.length, String(number)))));
}
