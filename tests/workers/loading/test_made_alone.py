"""Models that two threads make at once are each whole: tied, initialised, and from their own seed."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import LABELS, TinyCheckpoint
from transformers import PreTrainedModel

import workers.loading.base_model
import workers.loading.checkpoint
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.index import GradientSettings
from workers.loading.checkpoint import load_checkpoint, make_untrained
from workers.loading.options import LoadOptions

OVERLAP_SECONDS = 0.2


@pytest.fixture
def checkpoint(classifier: TinyCheckpoint) -> Checkpoint:
    return Checkpoint(
        id="ckpt_tiny",
        base_model=BaseModelRef(name="tiny", kind="path", location=str(classifier.base)),
        task="sequence_classification",
        adapter=json.loads((classifier.adapter / "adapter_config.json").read_text()),
        adapter_digest="",
        label_names=LABELS,
        num_labels=len(LABELS),
        parameters=0,
        tensors=0,
        created_at=now(),
    )


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many base models were being read whenever one was begun; every reading waits for another to begin."""
    seen, reading, met = list[int](), [0], threading.Condition()
    read = workers.loading.base_model.load_base_model

    def read_slowly(*args: Any) -> Any:
        with met:
            reading[0] += 1
            seen.append(reading[0])
            met.notify_all()
            met.wait_for(lambda: reading[0] > 1, OVERLAP_SECONDS)
        try:
            return read(*args)
        finally:
            with met:
                reading[0] -= 1

    monkeypatch.setattr("workers.loading.checkpoint.load_base_model", read_slowly)
    return seen


def test_no_model_is_read_while_another_is(
    checkpoint: Checkpoint, classifier: TinyCheckpoint, at_once: list[int], tmp_path: Path
) -> None:
    options = LoadOptions(tmp_path)
    tie = PreTrainedModel.tie_weights

    def make(seed: int) -> Any:
        return make_untrained(checkpoint, None, GradientSettings(), options, seed=seed, dropout=0.0).model

    def load(_seed: int) -> Any:
        return load_checkpoint(checkpoint, classifier.adapter, GradientSettings(), options).model

    works: list[Callable[[int], Any]] = [make, load, make, load]
    with ThreadPoolExecutor(4) as threads:
        made = [future.result() for future in [threads.submit(work, 7) for work in works]]
    assert at_once == [1, 1, 1, 1]
    assert PreTrainedModel.tie_weights is tie
    for one, other in zip(made[0].parameters(), made[2].parameters(), strict=True):
        assert torch.equal(one, other)
