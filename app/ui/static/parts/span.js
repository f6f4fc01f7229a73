/** A part of an answer. */

/** What of a row is its answer and has parts; null where it is no text. */
export function answerOf(row) {
  const answer = row.completion ?? row.messages?.at(-1)?.content ?? row.text;
  return typeof answer === "string" ? answer : null;
}

/** A text for a field, which would make one character of the two that end a line. */
export const forField = (text) => text.replaceAll("\r", "␍");

export function selectedSpan({ value, selectionStart, selectionEnd }) {
  if (selectionStart < selectionEnd) return [selectionStart, selectionEnd].map((at) => [...value.slice(0, at)].length);
  throw Object.assign(new Error("Nothing of the answer is selected."), { title: "Which part?", hint: "Select it with the mouse, or with Shift and the arrow keys." });
}

export const selectSpan = (field, span) => field.setSelectionRange(...span.map((at) => [...field.value].slice(0, at).join("").length));
