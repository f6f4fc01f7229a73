import { h } from "../html.js";
import { arrowed, sideOf } from "../format.js";

export function scoreBar(score, most) {
  const share = most > 0 ? Math.min(1, Math.abs(score) / most) : 0;
  return h("span", { class: ["score", sideOf(score)], title: String(score) },
    bar(
      h("rect", { class: `${sideOf(score)}-fill`, x: score >= 0 ? 50 : 50 - 50 * share, y: 1, width: 50 * share, height: 8 }),
      h("line.axis", { x1: 50, x2: 50, y1: 0, y2: 10 }),
    ),
    h("span.number", arrowed(score)),
  );
}

export function shareBar(share, text, kind = "plain") {
  return h("span.share",
    bar(h("rect", { class: `${kind}-fill`, x: 0, y: 1, width: 100 * Math.min(1, Math.max(0, share)), height: 8 })),
    h("span.number", text));
}

const bar = (...shapes) => h("svg.bar", { viewBox: "0 0 100 10", "aria-hidden": "true", preserveAspectRatio: "none" },
  h("rect.track", { x: 0, y: 0, width: 100, height: 10 }), shapes);

export const shareList = (shares) =>
  h("ul.mix", shares.map(([name, ...share]) => h("li", h("span.mix-name", name), shareBar(...share))));

export function mix(values, name = String) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].toSorted((a, b) => b[1] - a[1]).slice(0, 8);
  return shareList(sorted.map(([value, number]) => [name(value), number / values.length, String(number)]));
}
