"""Workers of an earlier version and of this one at work on one build, and each answers from what both made.

An upgrade without a pause renews workers first and the API last, so questions are those of the earlier version: what it
never heard of it would have to refuse, for it may change a score.
`make test-upgrade` names the earlier version, by a tag or a commit, and builds its wheel.
"""

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.answered import present
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.index import Index
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer, die_with_parent
from influence.store.store import Store

HERE = Path(__file__).parents[2]
EARLIER = os.environ.get("DATAINF_TESTS_EARLIER", "")
pytestmark = pytest.mark.skipif(not EARLIER, reason="no earlier version is named in DATAINF_TESTS_EARLIER")

#: A question as the API of a version accepts it.
ASK = """
import json, sys
from influence.contracts.query import Query, QueryRequest
from influence.contracts.work import QUERY
from influence.store.connections import connect
from influence.store.store import Store
from influence.store.work import accept
url, index_id, request = sys.argv[1:]
request = QueryRequest(**json.loads(request))
query = accept(Store(connect(url)), Query(**QUERY.begin(), index_id=index_id, request=request, method=request.method))
print(query.id)
"""
ROWS = make_ticket_rows(3000)
TEST = make_ticket_rows(2, seed=9)
#: Shards that each does alone, to be sure that it did.
_ALONE = 3
Wait = Callable[..., None]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the earlier version is installed, from a wheel of it."""
    folder = tmp_path_factory.mktemp("earlier")
    packed = folder / "source.tar"
    if subprocess.run(["git", "archive", "-o", packed, EARLIER], cwd=HERE, check=False).returncode:
        pytest.skip(f"there is no git history that has {EARLIER}")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "source", filter="data")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = folder / "wheels"
    if subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, folder / "source"], check=False).returncode:
        pytest.skip("the earlier version's wheel cannot be built here: its build needs setuptools from a package index")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", *wheels.glob("*.whl")], check=True)
    return folder / "site"


class Worker:
    """A worker process of some version, which may be halted for a while."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.halt = partial(process.send_signal, signal.SIGSTOP)
        self.go_on = partial(process.send_signal, signal.SIGCONT)

    def end(self) -> None:
        """Asked to, as an upgrade does it."""
        self.go_on()
        self._process.terminate()
        self._process.wait()


@contextmanager
def started(store: Store, server: EmbeddedServer, folder: Path, code: Path, wait_until: Wait) -> Iterator[Worker]:
    name = "earlier" if code != HERE else "ours"
    settings = {
        "DATAINF_REDIS_URL": server.url,
        "DATAINF_DATA_DIR": str(folder / "data"),
        "DATAINF_DEVICE": "cpu",
        "DATAINF_CPU_THREADS": "1",
        "DATAINF_SHARD_SECONDS": "0.001",
        "PYTHONPATH": str(code),
    }
    entry = "start" if (code / "workers" / "process" / "start.py").exists() else "worker"
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"workers.process.{entry}", "--name", name],
            env={**os.environ, **settings},
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    worker = Worker(process)
    try:
        wait_until(lambda: name in {one["name"] for one in store.workers.alive()}, f"{name} is there", 90)
        yield worker
    finally:
        worker.end()


#: What a later version keeps of a plan an earlier one may not know: the guide says so, and the run shows it.
BY_US = pytest.param(
    "ours", marks=pytest.mark.xfail(reason="the earlier version does not know our plans", strict=False)
)


@pytest.mark.parametrize("planner", ["earlier", BY_US])
def test_both_work_on_one_build_and_each_answers_from_it(
    planner: str,
    earlier: Path,
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    tiny: TinyCheckpoint,
    wait_until: Wait,
) -> None:
    codes = [earlier, HERE] if planner == "earlier" else [HERE, earlier]
    start = [partial(started, store, server, tmp_path, code, wait_until) for code in codes]
    files = Files(tmp_path / "data")
    checkpoint = add_checkpoint(store, files, tiny, "sequence_classification")
    dataset = add_dataset(store, files, ROWS, "classification")
    with ExitStack() as stack:
        first, second = (stack.enter_context(begin()) for begin in start)
        second.halt()
        index = submit_index(store, checkpoint, dataset, storage="compact")
        wait_until(lambda: commits(store, index) >= _ALONE, "the first has done some shards")
        first.halt()
        second.go_on()
        before = commits(store, index)
        wait_until(
            lambda: commits(store, index) >= before + _ALONE or store.jobs.require(index.job_id).is_final,
            "the second has done some, too",
        )
        first.go_on()
        wait_until(lambda: store.jobs.require(index.job_id).is_final, "the index is ready", 120)
        assert store.indexes.require(index.id).state == "succeeded", store.indexes.require(index.id).error
    assert store.indexes.require(index.id).rows_indexed == len(ROWS)
    answers = []
    for begin in start:
        with begin():
            answers.append(ask(earlier, server, store, index, wait_until))
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-3, atol=1e-3 * np.abs(answers[0]).max())


def commits(store: Store, index: Index) -> int:
    return store.index_data.count_commits(store.indexes.require(index.id).build)


def ask(code: Path, server: EmbeddedServer, store: Store, index: Index, wait_until: Wait) -> NDArray[np.float32]:
    """The answer to a question that was accepted by some version."""
    request = json.dumps({"examples": TEST, "exact": False})
    command = [sys.executable, "-c", ASK, server.url, index.id, request]
    made = subprocess.run(
        command, cwd=code, env={**os.environ, "PYTHONPATH": str(code)}, check=True, capture_output=True, text=True
    )
    query = store.queries.require(made.stdout.split()[-1])
    wait_until(lambda: store.jobs.require(query.job_id).is_final, "the answer is there", 90)
    assert store.queries.require(query.id).state == "succeeded", store.queries.require(query.id).error
    return present(store.scores.read(query.id, len(TEST), len(ROWS)))
