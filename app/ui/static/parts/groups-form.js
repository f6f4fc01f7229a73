/** Groups of an index, begun from its view. */

import { choice, datasetChoice, empty, field, form, go, post } from "../kit.js";

export function groupsForm(index, dataset, datasets) {
  const columns = [...(dataset.statistics.labels ? ["label"] : []), ...Object.keys(dataset.metadata_columns ?? {})];
  if (!columns.length) return empty("These rows have neither labels nor other columns to group them by.");
  const by = choice(columns.map((name) => [name, name]));
  const judge = datasetChoice(datasets);
  const ask = async () => {
    const made = await post(`/v1/indexes/${index.id}/groups`, { by: by.value, evaluation: { dataset_id: judge.value } });
    go(`/groups/${made.id}`);
  };
  return form([field("Group rows by", by), field("Judge by their effect on", judge)], "Compare", ask, "inline");
}
