"""Builds compute where queries leave the processor to them."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.job import Job
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.process.threads import STEPS_DOWN, yield_to_others

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")


def of_thread(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def priority() -> int:
    return of_thread(threading.get_native_id())


def run_beside(action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def test_a_thread_that_yields_is_lower_with_those_that_it_starts_and_no_other_is() -> None:
    seen: list[int] = []

    def work() -> None:
        yield_to_others()
        yield_to_others()
        run_beside(lambda: seen.append(priority()))
        seen.append(priority())

    before = priority()
    run_beside(work)
    assert seen == [max(STEPS_DOWN, before)] * 2
    assert priority() == before


def test_the_thread_of_builds_yields_and_others_do_not(
    server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, finished: Callable[..., Job]
) -> None:
    before = priority()

    def lowered() -> set[int]:
        return {thread for thread in map(int, os.listdir("/proc/self/task")) if of_thread(thread) > before}

    with running_worker(server.url, tmp_path / "data") as worker:
        own = lowered()
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(30), "classification")
        assert finished(store, submit_index(store, checkpoint, dataset, storage="compact").job_id).state == "succeeded"
        named = {thread.native_id for thread in threading.enumerate()}
        assert len((lowered() - own) & named) == 1
