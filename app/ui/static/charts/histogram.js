/** A histogram of scores; a dragged range is reported as [low, high]. */

import { h, replace, tip } from "../html.js";
import { count, short, sideOf } from "../format.js";

const WIDTH = 640;
const HEIGHT = 140;
const FOOT = 22;

/** Of `{hist, bin_edges}`, with marks `{value, text, kind}`; `onrange` gets `[low, high]`, or null. */
export function histogram({ hist, bin_edges: edges }, marks, onrange) {
  const [low, high] = [edges[0], edges.at(-1)];
  const x = (value) => (high === low ? WIDTH / 2 : ((value - low) / (high - low)) * WIDTH);
  const top = Math.max(1, ...hist);
  // Square roots: one full bin at zero would hide the tails, which are what one looks for.
  const y = (number) => Math.sqrt(number / top) * (HEIGHT - FOOT);
  const bars = hist.map((number, i) => h("rect", {
    class: `${sideOf(edges[i] + edges[i + 1])}-fill`, x: x(edges[i]) + 0.5, width: Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 1),
    y: HEIGHT - FOOT - y(number), height: y(number),
  }, tip(`${count(number)} rows between ${short(edges[i])} and ${short(edges[i + 1])}`)));
  const chosen = h("g");
  const showRange = (bounds) => replace(chosen, bounds && h("rect.brush", {
    x: x(bounds[0]), width: Math.max(1, x(bounds[1]) - x(bounds[0])), y: 0, height: HEIGHT - FOOT,
  }));
  const upright = (kind, value, ...more) => h("line", { class: kind, x1: x(value), x2: x(value), y1: 0, y2: HEIGHT - FOOT }, more);
  const hasZero = low < 0 && high > 0;
  const drawing = h("svg.chart", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": `Scores of ${count(hist.reduce((a, b) => a + b, 0))} rows, from ${short(low)} to ${short(high)}` },
    bars,
    hasZero && upright("axis", 0),
    marks.map((mark) => upright(["mark", mark.kind], mark.value, tip(mark.text))),
    chosen,
    h("text.tick", { x: 0, y: HEIGHT - 6 }, short(low)),
    hasZero && h("text.tick.middle", { x: x(0), y: HEIGHT - 6 }, "0"),
    h("text.tick.end", { x: WIDTH, y: HEIGHT - 6 }, short(high)));
  brush(drawing, (position) => low + (position / WIDTH) * (high - low), showRange, onrange);
  return drawing;
}

function brush(drawing, valueAt, showRange, onrange) {
  let start = null;
  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    return valueAt(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * WIDTH);
  };
  const bounds = (event) => [start, at(event)].toSorted((a, b) => a - b);
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
