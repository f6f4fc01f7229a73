/** An evaluation begun from the page: what it asks and takes, said before. */

import { choice, count, datasetChoice, duration, faint, field, form, go, numberInput, post, replace } from "../kit.js";

const [REPEATS, BATCH_ROWS] = [3, 16]; // what the service takes where a request says nothing
/** Random subsets of a share of the rows, one training each. */
const subsets = (share) => ({ request: (n) => ({ subsets: n }), trainings: (n, rows) => [[n, share * rows]] });
/** What a kind asks, what is counted, how many at first and at least, and what `n` of them ask for and train on. */
const KINDS = {
  lds: { asks: "Do its scores predict what training on random halves does?", unit: "Random halves", first: 48, least: 4, ...subsets(0.5) },
  "leave-out": { asks: "Does leaving out the most helpful rows change more than leaving out others?", unit: "Rows left out", first: 30, least: 1,
    request: (n, metric) => ({ counts: [n], repeats: REPEATS, methods: [{ method: metric === "optimizer" ? "preconditioned" : "datainf" }] }),
    trainings: (n, rows) => [[REPEATS, rows], [2 * REPEATS, rows - n]] },
  calibrate: { asks: "By which factor do its scores become changes of loss?", unit: "Random subsets of 90 %", first: 32, least: 8, ...subsets(0.9) },
};

/** What trainings take, in words. */
export const costText = ({ trainings, steps, seconds }) =>
  `${count(trainings)} trainings of ${count(steps)} steps together, ${seconds == null ? "for an unknown time" : `about ${duration(seconds)} on one worker`}`;

/** The form of an index; `datasets` are those that test points may come from. */
export function evaluationForm(index, dataset, datasets) {
  const kind = choice(Object.entries(KINDS).map(([name, { asks }]) => [name, asks]));
  const tests = datasetChoice(datasets, datasets.find((item) => item.id !== dataset.id)?.id);
  const [many, epochs] = [numberInput(1, 1, 2000), numberInput(6, 1, 1000)];
  const box = field("", many);
  const cost = faint();
  const tell = () => {
    const trainings = KINDS[kind.value].trainings(Number(many.value), index.rows_indexed);
    replace(cost, "Takes ", costText(costOf(index, trainings, Number(epochs.value))), ".");
  };
  const choose = () => {
    const { unit, first, least } = KINDS[kind.value];
    Object.assign(many, { value: Math.min(first, Math.floor(dataset.rows / 4)), min: least });
    replace(box.querySelector("label"), unit);
    tell();
  };
  kind.addEventListener("change", choose);
  const act = async () => {
    const made = await post("/v1/evaluations", { kind: kind.value, index_id: index.id, evaluation_dataset_id: tests.value,
      recipe: { epochs: Number(epochs.value), batch_rows: BATCH_ROWS }, ...KINDS[kind.value].request(Number(many.value), index.spec.metric) });
    go(`/evaluations/${made.id}`);
  };
  const made = form([field("Question", kind), box, field("Epochs of each", epochs, "As the checkpoint was trained, to be fair."), field("Test points from", tests), cost], "Train again to know", act);
  made.addEventListener("input", tell);
  choose();
  return made;
}

/** As the service counts it: passes over rows at the rate at which the index's gradients were computed. */
function costOf({ timings }, trainings, epochs) {
  const sum = (of) => trainings.reduce((total, [times, rows]) => total + times * of(Math.max(1, Math.floor(rows))), 0);
  return { trainings: sum(() => 1), steps: epochs * sum((rows) => Math.ceil(rows / BATCH_ROWS)),
    seconds: timings?.rows_per_second ? (epochs * sum((rows) => rows)) / timings.rows_per_second : null };
}
