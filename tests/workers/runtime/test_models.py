"""Loading a model leaves those alone that other threads run."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.rows import make_ticket_rows

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import GradientSettings
from influence.errors import BaseModelNotFound
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime

LOADS = 6


def test_a_model_is_run_in_its_own_type_while_another_is_loaded(
    worker: Runtime, checkpoint: Checkpoint, wait_until: Callable[..., None]
) -> None:
    model = worker.models.get(checkpoint, GradientSettings())
    rows = model.task.tokenise(make_ticket_rows(4))
    types: set[torch.dtype] = set()
    model.model.register_forward_pre_hook(lambda *_: types.add(torch.get_default_dtype()))
    runs, ended = [0], threading.Event()

    def run() -> None:
        while not ended.is_set():
            for _ in stream_rows(worker, model, rows):
                runs[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for length in range(LOADS):
            done = runs[0]
            worker.models.get(checkpoint, GradientSettings(precision="bfloat16", max_length=8 + length))
            wait_until(lambda done=done: runs[0] > done + 1, "the model was run between loads")
    finally:
        ended.set()
        thread.join()
    assert types == {torch.float32}


def test_a_load_that_fails_lets_others_run(worker: Runtime, checkpoint: Checkpoint, tmp_path: Path) -> None:
    gone = checkpoint.base_model.model_copy(update={"location": str(tmp_path / "gone")})
    broken = checkpoint.model_copy(update={"id": "ckpt_gone", "base_model": gone})
    with pytest.raises(BaseModelNotFound):
        worker.models.get(broken, GradientSettings(precision="bfloat16"))
    model = worker.models.get(checkpoint, GradientSettings(precision="bfloat16"))
    assert len(list(stream_rows(worker, model, model.task.tokenise(make_ticket_rows(2))))) == 1
