"""A row's loss as the sum over its tokens: exact, stated wherever scores are, and trained as it is scored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import TinyCheckpoint, make_causal, make_classifier, make_seq2seq
from support.trials.bench import WAIT, Bench
from support.trials.exactness import TOLERANCE, load_tiny
from support.trials.float64 import Float64Throughout

from app.indexes.submit import index_address
from influence.contracts.evaluation.experiment import TrainingRecipe
from influence.contracts.index import GradientSettings, IndexSpec
from influence.digests import digest_json
from influence.errors import TaskMismatch
from workers.gradients.collector import GradientCollector, RowGradients
from workers.loading.checkpoint import LoadedCheckpoint
from workers.rows import IGNORED
from workers.training.loop import train

ROWS = 24


@pytest.fixture(params=["causal", "seq2seq"])
def tiny(tmp_path: Path, request: pytest.FixtureRequest) -> TinyCheckpoint:
    return make_causal(tmp_path) if request.param == "causal" else make_seq2seq(tmp_path)


@pytest.fixture
def causal(tmp_path: Path) -> TinyCheckpoint:
    return make_causal(tmp_path / "causal")


def collect(loaded: LoadedCheckpoint, rows: list[dict[str, Any]]) -> RowGradients:
    batch = loaded.task.collate(loaded.task.tokenise(rows))
    with Float64Throughout():
        return GradientCollector(loaded.model, loaded.task.row_losses).collect(batch)


def count_tokens(loaded: LoadedCheckpoint, rows: list[dict[str, Any]]) -> torch.Tensor:
    """Tokens that carry loss, by row."""
    labels = [torch.tensor(row.labels) for row in loaded.task.tokenise(rows)]
    return torch.tensor([int((found != IGNORED).sum()) for found in labels], dtype=torch.float64)


def test_a_sum_is_the_mean_times_the_tokens(tiny: TinyCheckpoint) -> None:
    rows = make_completion_rows(9)
    means, sums = (collect(load_tiny(tiny, reduction=reduction), rows) for reduction in ("mean", "sum"))
    tokens = count_tokens(load_tiny(tiny), rows)
    assert len(set(tokens.tolist())) > 3
    torch.testing.assert_close(sums.losses, means.losses * tokens, rtol=TOLERANCE, atol=TOLERANCE)
    assert sums.blocks.keys() == means.blocks.keys()
    for name, values in sums.blocks.items():
        torch.testing.assert_close(values, means.blocks[name] * tokens[:, None], rtol=TOLERANCE, atol=TOLERANCE)


def test_scores_are_those_of_summed_losses_and_say_so(bench: Bench, tiny: TinyCheckpoint) -> None:
    rows, asked = make_completion_rows(ROWS), make_completion_rows(2, seed=5)
    checkpoint, dataset = bench.checkpoint(tiny), bench.dataset(rows)
    indexes = [bench.index(checkpoint, dataset, storage="full", **how) for how in ({}, {"reduction": "sum"})]
    assert [index["spec"]["gradients"]["reduction"] for index in indexes] == ["mean", "sum"]
    assert indexes[0]["id"] != indexes[1]["id"]
    means, sums = (bench.query(index, examples=asked, k=3) for index in indexes)
    assert (means["reduction"], sums["reduction"]) == ("mean", "sum")
    loaded = load_tiny(tiny, reduction="sum")
    tokens = count_tokens(loaded, asked).tolist()
    for mean, total, count in zip(means["results"], sums["results"], tokens, strict=True):
        assert total["loss"] == pytest.approx(mean["loss"] * count, rel=1e-4)
    truth = dense_datainf(loop_gradients(loaded, asked), loop_gradients(loaded, rows))
    found = bench.get(f"/v1/queries/{sums['id']}/scores")["influence"]
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())


def test_a_preview_shows_it_with_the_tokens(bench: Bench, causal: TinyCheckpoint) -> None:
    dataset = bench.dataset(make_completion_rows(ROWS))
    body = {"checkpoint_id": bench.checkpoint(causal)["id"], "reduction": "sum"}
    made = bench.client.post(f"/v1/datasets/{dataset['id']}/preview", json=body, headers=WAIT).json()
    assert made["request"]["reduction"] == "sum"
    assert [row["supervised_tokens"] for row in made["rows"]] == [sum(row["supervised"]) for row in made["rows"]]


def test_training_divides_by_the_tokens_of_the_batch(causal: TinyCheckpoint) -> None:
    loaded = load_tiny(causal, reduction="sum")
    encoded = loaded.task.tokenise(make_completion_rows(8))
    recipe = TrainingRecipe(epochs=1, batch_rows=8, learning_rate=1e-12, lora_dropout=0.0)
    loss = train(loaded.model, loaded.task, encoded, recipe, device=torch.device("cpu"))
    batch = loaded.task.collate(encoded)
    of_transformers = loaded.model(**batch.inputs, labels=batch.labels).loss
    assert loss == pytest.approx(float(of_transformers.detach()), rel=1e-5)


def test_labels_have_no_tokens_to_sum_up(bench: Bench, tmp_path: Path) -> None:
    rows = [{**row, "label": place % 3} for place, row in enumerate(make_ticket_rows(12))]
    checkpoint, dataset = bench.checkpoint(make_classifier(tmp_path)), bench.dataset(rows)
    body = {"checkpoint_id": checkpoint["id"], "reduction": "sum"}
    asked = {"/v1/indexes": {**body, "dataset_id": dataset["id"]}, f"/v1/datasets/{dataset['id']}/preview": body}
    for path, fields in asked.items():
        assert_problem(bench.client.post(path, json=fields), 422, "invalid_request")
    with pytest.raises(TaskMismatch, match="'reduction'"):
        load_tiny(make_classifier(tmp_path / "again"), reduction="sum")


def test_indexes_of_means_keep_their_addresses() -> None:
    spec = IndexSpec(checkpoint_id="c", dataset_id="d", storage="full")
    fields = spec.model_dump(mode="json")
    later = {"reduction": "mean", "parts": "all", "diffusion": None, "beta": None, "center_rewards_coefficient": None}
    assert {name: fields["gradients"].pop(name) for name in later} == later
    assert (fields.pop("metric"), fields.pop("batch_rows"), fields.pop("joined")) == ("gradient", 1, [])
    assert index_address(spec) == f"idx_{digest_json(fields)}"
    summed = spec.model_copy(update={"gradients": GradientSettings(reduction="sum")})
    assert index_address(summed) != index_address(spec)
    # What tags meant before there was a choice is what they mean by default.
    on_first = spec.model_copy(update={"gradients": GradientSettings(loss="first")})
    assert index_address(on_first) == index_address(spec)
