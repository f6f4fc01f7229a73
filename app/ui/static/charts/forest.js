import { h, tip } from "../html.js";
import { sideOf, signed } from "../format.js";

const WIDTH = 300;
const HEIGHT = 18;

export function interval(group, low, high) {
  const x = (value) => 4 + ((value - low) / (high - low || 1)) * (WIDTH - 8);
  const kind = sideOf(group.mean_score);
  return h("svg.forest", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": `mean score ${signed(group.mean_score)}, from ${signed(group.low)} to ${signed(group.high)}` },
    h("line.axis", { x1: x(0), x2: x(0), y1: 0, y2: HEIGHT }),
    h("line", { class: `mark ${kind}`, x1: x(group.low), x2: x(group.high), y1: HEIGHT / 2, y2: HEIGHT / 2 }),
    h("circle", { class: `${kind}-fill`, cx: x(group.mean_score), cy: HEIGHT / 2, r: 5 }, tip(signed(group.mean_score))),
  );
}

export const bounds = (groups) => [
  Math.min(0, ...groups.map((group) => group.low)),
  Math.max(0, ...groups.map((group) => group.high)),
];
