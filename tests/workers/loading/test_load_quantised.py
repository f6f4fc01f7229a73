"""Base models in 4 and 8 bits, loaded as the product loads them: gradients are autograd's, row by row."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint, make_causal, make_classifier

from influence.checkpoint_files.config import parse_adapter_config
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.index import GradientSettings, Precision
from influence.contracts.tasks import TaskName
from influence.errors import BaseModelNotFound
from workers.gradients.collector import GradientCollector
from workers.loading import quantised
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions
from workers.rows import Batch

ROWS = 5
#: 8 bits round what goes in: a last digit that differs alone and in a batch can move a number by one step in 127.
TOLERANCE = {4: 1e-5, 8: 0.05}
needs_library = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


def load(tiny: TinyCheckpoint, task: TaskName, bits: int, precision: Precision = "float32") -> LoadedCheckpoint:
    config = parse_adapter_config((tiny.adapter / "adapter_config.json").read_bytes())
    labels: dict[str, Any] = {} if task == "causal_lm" else {"label_names": LABELS, "num_labels": len(LABELS)}
    checkpoint = Checkpoint(
        id="ckpt_q",
        base_model=BaseModelRef(name="tiny", kind="path", location=str(tiny.base)),
        task=task,
        adapter=json.loads(config.model_dump_json()),
        adapter_digest="x",
        created_at=now(),
        **labels,
    )
    return load_checkpoint(
        checkpoint,
        tiny.adapter,
        GradientSettings(precision=precision),
        LoadOptions(cache_dir=Path("/nowhere"), load_in_bits=bits),
    )


def batch_of(loaded: LoadedCheckpoint, rows: list[dict[str, Any]]) -> Batch:
    return loaded.task.collate(loaded.task.tokenise(rows))


def assert_autograds(loaded: LoadedCheckpoint, rows: list[dict[str, Any]], tolerance: float) -> None:
    found = GradientCollector(loaded.model, loaded.task.row_losses).collect(batch_of(loaded, rows))
    parameters = {
        name: parameter
        for name, parameter in loaded.model.named_parameters()
        if parameter.requires_grad and not name.endswith("bias")
    }
    for place, row in enumerate(rows):
        loss = loaded.task.row_losses(loaded.model, batch_of(loaded, [row]))[0]
        truth = torch.autograd.grad(loss, list(parameters.values()))
        for values, true in zip(found.blocks.values(), truth, strict=True):
            assert float(true.norm()) > 0
            assert float((values[place] - true.flatten()).norm()) <= tolerance * float(true.norm())


@needs_library
@pytest.mark.parametrize("bits", [4, 8])
def test_a_language_models_gradients_are_autograds(causal: TinyCheckpoint, bits: int) -> None:
    loaded = load(causal, "causal_lm", bits)
    inner: Any = loaded.model.base_model
    layer = inner.model.model.layers[0]
    assert "bit" in type(layer.mlp.up_proj).__name__
    assert type(inner.model.lm_head) is torch.nn.Linear
    assert_autograds(loaded, make_completion_rows(ROWS), TOLERANCE[bits])


@needs_library
@pytest.mark.parametrize("bits", [4, 8])
def test_a_classifiers_gradients_are_autograds(classifier: TinyCheckpoint, bits: int) -> None:
    loaded = load(classifier, "sequence_classification", bits)
    kinds = {type(module).__name__ for name, module in loaded.model.named_modules() if "classifier" in name}
    assert not any("bit" in kind for kind in kinds)
    assert_autograds(loaded, make_ticket_rows(ROWS), TOLERANCE[bits])


@needs_library
def test_a_prediction_before_leaves_gradients_whole(causal: TinyCheckpoint) -> None:
    loaded = load(causal, "causal_lm", 4)
    loaded.task.predict(loaded.model, make_completion_rows(1, seed=3))
    assert_autograds(loaded, make_completion_rows(ROWS), TOLERANCE[4])


@needs_library
def test_bfloat16_computes_in_bfloat16(causal: TinyCheckpoint) -> None:
    rows = make_completion_rows(ROWS)
    wide, narrow = (load(causal, "causal_lm", 4, precision) for precision in ("float32", "bfloat16"))
    exact = GradientCollector(wide.model, wide.task.row_losses).collect(batch_of(wide, rows))
    rough = GradientCollector(narrow.model, narrow.task.row_losses, precision="bfloat16").collect(
        batch_of(narrow, rows)
    )
    for name, values in exact.blocks.items():
        difference = float((rough.blocks[name] - values).norm() / values.norm())
        assert 0 < difference < 0.15


def test_without_the_library_it_is_named(causal: TinyCheckpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "find_spec", lambda _name: None)
    with pytest.raises(BaseModelNotFound, match="in 4 bits: bitsandbytes is missing") as refused:
        load(causal, "causal_lm", 4)
    assert "DATAINF_LOAD_IN_BITS" in refused.value.hint
