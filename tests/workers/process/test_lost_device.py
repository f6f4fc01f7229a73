"""A worker whose device is gone ends, and another takes its work over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index
from support.tiny import TinyCheckpoint
from support.work import keys_about, write_data

from influence.contracts.index import GradientSettings
from influence.store import work
from influence.store.embedded import EmbeddedServer
from influence.store.ending import orphans
from influence.store.store import Store
from workers.process import worker as process


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


def test_what_was_written_while_the_work_was_deleted_and_the_device_lost_is_swept(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    classifier: TinyCheckpoint,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., None],
) -> None:
    def delete_and_lose(*_: object) -> None:
        (index,) = store.indexes.all()
        work.delete(store, index)
        write_data(store, index)  # as whoever had looked just before whether it is wanted
        lose_device()

    with running_worker(server.url, tmp_path / "data") as broken:
        checkpoint = add_checkpoint(store, broken.files, classifier, "sequence_classification")
        dataset = add_dataset(store, broken.files, make_ticket_rows(20), "classification")
        hot = broken.models.get(checkpoint, GradientSettings(max_length=64))
        hot.model.register_forward_pre_hook(delete_and_lose)
        index = submit_index(store, checkpoint, dataset, storage="full")
        wait_until(broken.stopping.is_set, "the worker gives up")
    left = keys_about(store, index.id)
    assert [name for name in left if b"norms" in name] == left != []
    monkeypatch.setattr(orphans, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(orphans, "MIN_AGE_SECONDS", 0.0)
    monkeypatch.setattr(process, "ANNOUNCE_SECONDS", 0.05)
    monkeypatch.setattr(process, "REAP_SECONDS", 0.05)
    with running_worker(server.url, tmp_path / "data"):
        wait_until(lambda: keys_about(store, index.id) == [], "what was left is swept")
