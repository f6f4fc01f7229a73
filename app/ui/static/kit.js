/** What views and their parts are made with, under one name. */

export * from "./html.js";
export * from "./api.js";
export * from "./format.js";
export * from "./router.js";
export * from "./keys.js";
export * from "./parts/problem.js";
export * from "./parts/dialog.js";
export * from "./parts/fields.js";
export * from "./parts/progress.js";
