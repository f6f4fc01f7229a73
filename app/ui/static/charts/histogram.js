/** A histogram of scores; a dragged range is reported as [low, high]. */

import { h, replace, tip } from "../html.js";
import { count, short } from "../format.js";

const WIDTH = 640;
const HEIGHT = 140;
const FOOT = 22;

/**
 * @param {{hist: number[], bin_edges: number[]}} histogram
 * @param {{marks?: {value: number, text: string, kind: string}[], range?: number[], onrange?: (range: number[] | null) => void}} options
 */
export function histogram({ hist, bin_edges: edges }, { marks = [], range = null, onrange } = {}) {
  const low = edges[0];
  const high = edges[edges.length - 1];
  const x = (value) => (high === low ? WIDTH / 2 : ((value - low) / (high - low)) * WIDTH);
  const top = Math.max(1, ...hist);
  // Square roots: one full bin at zero would hide the tails, which are what one looks for.
  const y = (number) => Math.sqrt(number / top) * (HEIGHT - FOOT);
  const bars = hist.map((number, i) =>
    h("rect", {
      class: (edges[i] + edges[i + 1]) / 2 >= 0 ? "helpful-fill" : "harmful-fill",
      x: x(edges[i]) + 0.5, width: Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 1),
      y: HEIGHT - FOOT - y(number), height: y(number),
    }, tip(`${count(number)} rows between ${short(edges[i])} and ${short(edges[i + 1])}`)),
  );
  const chosen = h("g", null);
  const showRange = (bounds) => replace(chosen, bounds && h("rect", {
    class: "brush", x: x(bounds[0]), width: Math.max(1, x(bounds[1]) - x(bounds[0])), y: 0, height: HEIGHT - FOOT,
  }));
  showRange(range);
  const drawing = h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img",
    "aria-label": `Scores of ${count(hist.reduce((a, b) => a + b, 0))} rows, from ${short(low)} to ${short(high)}` },
    bars,
    low < 0 && high > 0 && h("line", { class: "axis", x1: x(0), x2: x(0), y1: 0, y2: HEIGHT - FOOT }),
    marks.map((mark) => h("line", { class: `mark ${mark.kind}`, x1: x(mark.value), x2: x(mark.value), y1: 0, y2: HEIGHT - FOOT }, tip(mark.text))),
    chosen,
    h("text", { class: "tick", x: 0, y: HEIGHT - 6 }, short(low)),
    low < 0 && high > 0 && h("text", { class: "tick middle", x: x(0), y: HEIGHT - 6 }, "0"),
    h("text", { class: "tick end", x: WIDTH, y: HEIGHT - 6 }, short(high)),
  );
  if (onrange) brush(drawing, (position) => low + (position / WIDTH) * (high - low), showRange, onrange);
  return drawing;
}

function brush(drawing, valueAt, showRange, onrange) {
  let start = null;
  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    return valueAt(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * WIDTH);
  };
  const bounds = (event) => [start, at(event)].sort((a, b) => a - b);
  drawing.addEventListener("pointerdown", (event) => {
    start = at(event);
    drawing.setPointerCapture(event.pointerId);
  });
  drawing.addEventListener("pointermove", (event) => start !== null && showRange(bounds(event)));
  drawing.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const range = bounds(event);
    start = null;
    const isClick = Math.abs(valueAt(0) - valueAt(2)) > range[1] - range[0];
    showRange(isClick ? null : range);
    onrange(isClick ? null : range);
  });
}
