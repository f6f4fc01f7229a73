/** Images of rows, fetched with the key or held by an answer. */

import { call, clip, fileInput, h, rowText } from "../kit.js";

/** The image of row `index`, at most `size` pixels a side; nothing where it has none. */
export function picture(row, dataset, index, size = 96) {
  if (!row.image?.digest) return null;
  const shown = h("img", { class: ["picture", size > 96 && "large"], alt: rowText(row), onload: () => URL.revokeObjectURL(shown.src) });
  held(row.image, dataset, index, size).then((blob) => { shown.src = URL.createObjectURL(blob); }, () => {});
  return shown;
}

/** What a row shows and says, at most `length` characters. */
export const rowCell = ({ row, row_index: index }, dataset, length, ...more) =>
  h("td.text", picture(row, dataset, index), clip(rowText(row), length), more);

async function held({ png }, dataset, index, size) {
  if (!png) return (await call(`/v1/datasets/${dataset}/rows/${index}/image?size=${size}`)).blob();
  return new Blob([Uint8Array.from(atob(png), (byte) => byte.charCodeAt(0))], { type: "image/png" });
}

/** A field for the image that is asked about; `read` gives it in base64. */
export function pictureInput() {
  const input = fileInput("image/png,image/jpeg,image/webp");
  input.read = () => new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.readAsDataURL(input.files[0]);
  });
  return input;
}
