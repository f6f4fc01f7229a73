"""A task the product never heard of: one declaration and one class, and all steps from upload to scores work.

It reads the class number as a number and fits it with a head of one output.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint, make_classifier
from support.trials.bench import Bench
from torch import Tensor

from influence.contracts.dataset import CLASSIFICATION
from influence.contracts.index import GradientSettings
from influence.contracts.tasks import TASKS, HeadOutputs, TaskDeclaration
from influence.store.data.files import Files
from workers.batching.collate import collate_rows
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.base import Materials, Prediction, RenderedRow
from workers.tasks.registry import MAKERS

RATING = TaskDeclaration(
    name="rating",
    rows={CLASSIFICATION.name: ()},
    peft_type="SEQ_CLS",
    architectures=("ForSequenceClassification",),
    auto_class="AutoModelForSequenceClassification",
    head=HeadOutputs(1, 1),
    answers="label",
)
ROWS = 24


class Rating:
    """Squared error of one output against the label."""

    name = RATING.name

    def __init__(self, materials: Materials) -> None:
        self._encoder = materials.encoder
        self._pad_id = materials.pad_id

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        inputs, cut = self._encoder.encode_pairs([row["text"] for row in rows], None)
        return [
            EncodedRow(row["id"], found, [float(row["label"] or 0)], len(found["input_ids"]), was_cut)
            for row, found, was_cut in zip(rows, inputs, cut, strict=True)
        ]

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=self._pad_id)

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        losses: Tensor = (model(**batch.inputs).logits - batch.labels).square().mean(dim=1)
        return losses

    @torch.no_grad()
    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        outputs = model(**self.collate(self.tokenise(rows)).inputs).logits[:, 0]
        return [Prediction(label=round(output)) for output in outputs.tolist()]

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return {**row, "label": prediction.label}

    def render(self, row: Row) -> RenderedRow:
        ids = self.tokenise([row])[0].inputs["input_ids"]
        return RenderedRow(self._encoder.decode(ids), self._encoder.tokens(ids), (False,) * len(ids))


@pytest.fixture
def rated(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a new task has to bring."""
    monkeypatch.setitem(TASKS, RATING.name, RATING)
    monkeypatch.setitem(MAKERS, RATING.name, Rating)


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCheckpoint:
    return make_classifier(tmp_path / "one", labels=1)


def rows_with_numbers(count: int, seed: int = 0) -> list[dict[str, Any]]:
    return [{**row, "label": LABELS.index(row["label"])} for row in make_ticket_rows(count, seed=seed)]


@pytest.mark.usefixtures("rated")
def test_a_new_task_goes_all_the_way_from_upload_to_scores(bench: Bench, tiny: TinyCheckpoint, tmp_path: Path) -> None:
    checkpoint = bench.checkpoint(tiny, task="rating")
    assert (checkpoint["task"], checkpoint["num_labels"], checkpoint["label_names"]) == ("rating", 1, None)
    rows, asked = rows_with_numbers(ROWS), rows_with_numbers(2, seed=7)
    dataset = bench.dataset(rows)
    assert bench.preview(checkpoint, dataset)[0]["tokens"][0] == "[CLS]"
    index = bench.index(checkpoint, dataset, storage="full")
    query = bench.query(index, examples=asked, k=3)
    found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
    loaded = load_checkpoint(
        bench.store.checkpoints.require(checkpoint["id"]),
        Files(tmp_path / "data").adapter(checkpoint["adapter_digest"]),
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=tmp_path),
    )
    truth = dense_datainf(loop_gradients(loaded, asked), loop_gradients(loaded, rows))
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())


@pytest.mark.usefixtures("rated")
def test_a_new_task_shows_its_answers_and_takes_them_as_labels(bench: Bench, tiny: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(tiny, task="rating"), bench.dataset(rows_with_numbers(ROWS)))
    (result,) = bench.query(index, examples=[{"text": "refund late"}], target="prediction")["results"]
    assert result["example"]["label"] == result["predicted_label"]
    audit = bench.audit(index)
    assert [signal["name"] for signal in audit["signals"]] == ["loss", "self_influence"]


@pytest.mark.usefixtures("rated")
def test_a_new_task_refuses_rows_and_settings_that_are_not_its_own(bench: Bench, tiny: TinyCheckpoint) -> None:
    checkpoint = bench.checkpoint(tiny, task="rating")
    texts, numbers = bench.dataset(make_completion_rows(4)), bench.dataset(rows_with_numbers(4))
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": texts["id"]}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "rows_unfit")
    assert problem["fitting_kinds"] == ["classification"]
    scoped = {**ids, "dataset_id": numbers["id"], "loss": "completion"}
    assert_problem(bench.client.post("/v1/indexes", json=scoped), 422, "invalid_request")


@pytest.mark.usefixtures("rated")
def test_a_head_with_another_number_of_outputs_is_refused(bench: Bench, tmp_path: Path) -> None:
    wide = make_classifier(tmp_path / "wide")
    problem = assert_problem(bench.send_adapter(wide, task="rating"), 422, "task_mismatch")
    assert "3 outputs; task 'rating' needs 1." in problem["detail"]


def test_a_task_that_nobody_declared_is_refused_with_those_that_are(bench: Bench, tiny: TinyCheckpoint) -> None:
    problem = assert_problem(bench.send_adapter(tiny, task="rating"), 422, "invalid_request")
    assert all(name in str(problem) for name in TASKS)
