/** Tokens of a text, marked by how much each counts. */

import { arrowed, clip, faint, h, short, sideOf, signed } from "../kit.js";

const SHOWN = 6;

/** What each token adds to a row's score. */
export const tokenParts = (read) => [
  marked(piecesOf(read, read.parts), sideOf, arrowed),
  faint(`Marked by what each token adds to the score. Layers that read the row as a whole add ${signed(read.unplaced)}.`)];

export const tokenLosses = (read) => [marked(piecesOf(read, read.losses), () => "plain", short), faint("Marked by the loss of each token.")];

function marked(pieces, kindOf, say) {
  const most = Math.max(...pieces.map(({ value }) => Math.abs(value ?? 0)), 1e-30);
  const first = pieces.filter(({ value }) => value).toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, SHOWN);
  return [
    h("p.text.tokens", pieces.map(({ text, value }) => {
      const level = Math.round((4 * Math.abs(value ?? 0)) / most);
      return level ? h("span", { class: ["token", kindOf(value), `level-${level}`], title: say(value) }, text) : text;
    })),
    h("ul.keys", first.map(({ text, value }) => h("li", { class: kindOf(value) }, h("q", clip(text, 30)), " ", say(value)))),
  ];
}

/** The whole text in pieces: each token with its value, and what lies between. Bytes of one character are one piece. */
function piecesOf({ text, tokens, starts, stops }, values) {
  if (!starts) return tokens.map((token, i) => ({ text: `${token} `, value: values[i] }));
  const characters = [...text];
  const pieces = [];
  let at = 0;
  values.forEach((value, i) => {
    if (starts[i] === stops[i]) return;
    if (starts[i] < at) pieces.at(-1).value += value ?? 0;
    else pieces.push({ text: characters.slice(at, starts[i]).join("") }, { text: characters.slice(starts[i], stops[i]).join(""), value });
    at = Math.max(at, stops[i]);
  });
  return [...pieces, { text: characters.slice(at).join("") }];
}
