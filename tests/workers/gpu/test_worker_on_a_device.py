"""A worker on a CUDA device answers as one on the CPU does, and a killed process leaves the device free."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from support.rows import make_ticket_rows
from support.service import QUICK, add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint, make_classifier

from influence.contracts.query import Query
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.process.worker import WorkerProcess, make_runtime
from workers.runtime.state import Runtime
from workers.settings import WorkerSettings

ROWS, TEST = make_ticket_rows(40), make_ticket_rows(2, seed=9)
_HOLD = "import torch,time; held = torch.zeros(1 << 28, device='cuda'); print('held', flush=True); time.sleep(600)"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


@contextmanager
def worker_on(device: torch.device, url: str, data_dir: Path) -> Iterator[Runtime]:
    settings = WorkerSettings(redis_url=url, data_dir=data_dir, device="cuda", hub_offline=True, token_budget=1024)
    runtime = make_runtime(settings, "on-a-device", device)
    thread = threading.Thread(target=WorkerProcess(runtime, pace=QUICK).run)
    thread.start()
    try:
        yield runtime
    finally:
        runtime.stopping.set()
        thread.join()
        runtime.store.close()


def ask(runtime: Runtime, tiny: TinyCheckpoint, storage: str, wait_until: Callable[..., None]) -> dict[int, float]:
    """Influence by row of an index of the rows."""
    store = runtime.store
    checkpoint = add_checkpoint(store, runtime.files, tiny, "sequence_classification")
    dataset = add_dataset(store, runtime.files, ROWS, "classification")
    index = submit_index(store, checkpoint, dataset, storage=storage)
    _finish(store, index.job_id, wait_until)
    query: Query = submit_query(store, index.id, examples=TEST[:1], k=len(ROWS))
    _finish(store, query.job_id, wait_until)
    (result,) = store.queries.require(query.id).results or ()
    return {row.row_index: row.influence for row in result.helpful + result.harmful}


def _finish(store: Store, job_id: str, wait_until: Callable[..., None]) -> None:
    wait_until(lambda: store.jobs.require(job_id).is_final, f"{job_id} is final")
    job = store.jobs.require(job_id)
    assert job.state == "succeeded", job.error


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_scores_are_those_of_the_cpu(
    storage: str,
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    classifier: TinyCheckpoint,
    device: torch.device,
    wait_until: Callable[..., None],
) -> None:
    with running_worker(server.url, tmp_path / "cpu") as runtime:
        expected = ask(runtime, classifier, storage, wait_until)
    store.connections.state.flushall()
    with worker_on(device, server.url, tmp_path / "cuda") as runtime:
        found = ask(runtime, classifier, storage, wait_until)
    largest = max(abs(value) for value in expected.values())
    assert found == pytest.approx(expected, rel=1e-2, abs=1e-3 * largest)


def test_the_memory_of_a_killed_process_is_free_again(device: torch.device, wait_until: Callable[..., None]) -> None:
    before, _ = torch.cuda.mem_get_info(device)
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert torch.cuda.mem_get_info(device)[0] < before - (1 << 29)
        process.kill()
    wait_until(lambda: torch.cuda.mem_get_info(device)[0] > before - (1 << 28), "the device's memory is free")
