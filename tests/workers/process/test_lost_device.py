"""A worker whose device is gone ends, and another takes its work over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.index import GradientSettings
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store


def lose_device(*_: object) -> None:
    raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")


def test_work_goes_back_to_the_queue_and_the_process_ends(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    classifier: TinyCheckpoint,
    finished: Any,
    wait_until: Callable[..., None],
) -> None:
    with running_worker(server.url, tmp_path / "data") as broken:
        checkpoint = add_checkpoint(store, broken.files, classifier, "sequence_classification")
        dataset = add_dataset(store, broken.files, make_ticket_rows(20), "classification")
        hot = broken.models.get(checkpoint, GradientSettings(max_length=64))
        hot.model.register_forward_pre_hook(lose_device)
        index = submit_index(store, checkpoint, dataset, storage="full")
        wait_until(broken.stopping.is_set, "the worker gives up")
    assert not store.jobs.require(index.job_id).is_final
    with running_worker(server.url, tmp_path / "data"):
        assert finished(store, index.job_id).state == "succeeded"
