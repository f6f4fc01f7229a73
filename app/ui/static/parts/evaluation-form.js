/** An evaluation, begun. */

import { choice, count, datasetChoice, duration, faint, field, form, go, h, numberInput, post, replace } from "../kit.js";

/** What a kind asks and counts, how many at first and at least; the request for `n`. */
const KINDS = {
  lds: { asks: "Do its scores predict what training on random halves does?", unit: "Random halves", first: 48, least: 4, request: (n) => ({ subsets: n }) },
  "leave-out": { asks: "Do the most helpful rows matter more than others?", unit: "Rows left out", first: 30, least: 1,
    request: (n, metric) => ({ counts: [n], methods: [{ method: metric === "optimizer" ? "preconditioned" : "datainf" }] }) },
  calibrate: { asks: "By which factor are its scores changes of loss?", unit: "Random subsets of 90 %", first: 32, least: 8, request: (n) => ({ subsets: n }) },
};

export const costText = ({ trainings, steps, seconds }) =>
  `${count(trainings)} trainings of ${count(steps)} steps together, ${seconds == null ? "for an unknown time" : `about ${duration(seconds)} on one worker`}`;

export function evaluationForm(index, dataset, datasets) {
  const kind = choice(Object.entries(KINDS).map(([name, { asks }]) => [name, asks]));
  const tests = datasetChoice(datasets);
  const [many, epochs] = [numberInput(1, 1, 2000), numberInput(6, 1, 1000)];
  const box = field("", many);
  const cost = faint();
  const send = (rest = "") => post(`/v1/evaluations${rest}`, { kind: kind.value, index_id: index.id, evaluation_dataset_id: tests.value,
    recipe: { epochs: Number(epochs.value) }, ...KINDS[kind.value].request(Number(many.value), index.spec.metric) });
  let asked = 0;
  const tell = async () => {
    const own = ++asked;
    const text = await send("/cost").then((found) => `Takes ${costText(found)}.`, (error) => `${error.message} ${error.hint}`);
    if (own === asked) replace(cost, text);
  };
  const choose = () => {
    const { unit, first, least } = KINDS[kind.value];
    Object.assign(many, { value: Math.max(least, Math.min(first, Math.floor(dataset.rows / 4))), min: least });
    replace(box.querySelector("label"), unit);
  };
  kind.addEventListener("input", choose); // before the form asks what it takes
  const act = async () => go(`/evaluations/${(await send()).id}`);
  const made = form([field("Question", kind), box, field("Epochs of each", epochs, "As in its training."), field("Test points from", tests), cost], "Train again to know", act);
  made.addEventListener("input", tell);
  choose();
  return h("details", { ontoggle: tell }, h("summary", "Begin an evaluation"), made);
}
