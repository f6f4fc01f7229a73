/** Pictures of reports, from the data that the service draws. */

import { h, tip } from "../html.js";
import { short } from "../format.js";

const WIDTH = 640;
const HEIGHT = 300;
const EDGE = { left: 80, right: 12, top: 12, bottom: 42 };

/** A picture of a report: `{title, x_label, y_label, kind, series: [{label, x, y, low, high}]}`. */
export function lines(picture) {
  const values = picture.series.flatMap((series) => [...series.y, ...(series.low ?? []), ...(series.high ?? [])]).filter(Number.isFinite);
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values, low + 1e-12);
  const names = [...new Set(picture.series.flatMap((series) => series.x))];
  const isText = names.some((name) => typeof name === "string");
  const numbers = isText ? [] : names;
  const inner = WIDTH - EDGE.left - EDGE.right;
  const x = (value) => EDGE.left + (isText
    ? ((names.indexOf(value) + 0.5) / names.length) * inner
    : ((value - Math.min(...numbers)) / (Math.max(...numbers) - Math.min(...numbers) || 1)) * inner);
  const y = (value) => EDGE.top + (1 - (value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  let free = 0;
  const standsApart = (at) => {
    if (at < free) return false;
    free = at + 32;
    return true;
  };
  const ticks = Array.from({ length: 5 }, (_, i) => low + ((high - low) * i) / 4);
  return h("figure",
    h("figcaption", picture.title),
    h("svg.chart", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": picture.title },
      ticks.map((tick) => [
        h("line.grid", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(tick), y2: y(tick) }),
        h("text.tick.end", { x: EDGE.left - 6, y: y(tick) + 4 }, short(tick))]),
      names.filter((name) => isText || standsApart(x(name))).map((name) => h("text.tick.middle", { x: x(name), y: HEIGHT - EDGE.bottom + 16 }, isText ? name : short(name))),
      picture.series.map((series, i) => drawSeries(series, i, picture.series.length, x, y, picture.kind, low)),
      h("text.tick.middle", { x: WIDTH / 2, y: HEIGHT - 6 }, picture.x_label)),
    h("ul.keys", picture.series.map((series, i) => h("li", h("span", { class: `swatch line-${i % 8}`, "aria-hidden": "true" }), series.label))));
}

function drawSeries(series, i, all, x, y, kind, low) {
  const points = series.x.map((value, k) => [x(value) + (kind === "bars" ? (i - (all - 1) / 2) * 7 : 0), y(series.y[k]), k]);
  const said = (k) => tip(`${series.label}: ${short(series.y[k])}`);
  return h("g", { class: `series line-${i % 8}` },
    kind === "lines" && h("polyline", { points: points.map(([a, b]) => `${a},${b}`).join(" ") }),
    points.map(([a, b, k]) => [
      series.low && h("line", { x1: a, x2: a, y1: y(series.low[k]), y2: y(series.high[k]) }),
      kind === "bars"
        ? h("line.thick", { x1: a, x2: a, y1: y(Math.max(0, low)), y2: b }, said(k))
        : h("circle", { cx: a, cy: b, r: 3.5 }, said(k))]));
}
