"""The harness tells a whole service from a broken one; a little of its fuzzing runs here, the rest in `make fuzz`."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.work import make_work

from harness import load, soak
from harness.checker import count_rows
from influence.contracts.work import INDEX
from influence.store.store import Store
from influence.store.work import accept

ROWS = 6


def keep_rows(store: Store, *shards: list[int], build: str = "") -> str:
    """An index whose shards hold these rows."""
    index = accept(store, make_work(INDEX))
    for number, rows in enumerate(shards):
        store.index_data.write_rows(build or index.build, number, "kept", np.array(rows, np.int64))
    return str(index.id)


def test_rows_that_are_all_there_once_are_right(store: Store) -> None:
    assert count_rows(store, keep_rows(store, [0, 1, 2], [3, 4, 5]), ROWS) == []


@pytest.mark.parametrize(
    ("shards", "told"),
    [
        (([0, 1], [3, 4, 5]), "row 2 is there 0 times"),
        (([0, 1, 2, 3], [3, 4, 5]), "row 3 is there 2 times"),
        (([1, 2, 3], [4, 5, 6]), "row 6 does not exist"),
        ((), "row 0 is there 0 times"),
    ],
)
def test_rows_that_are_lost_double_or_strange_are_found(store: Store, shards: tuple[list[int], ...], told: str) -> None:
    assert told in count_rows(store, keep_rows(store, *shards), ROWS)


def test_a_worker_dies_once_on_the_side_of_the_place_that_is_named(tmp_path: Path) -> None:
    armed, root = tmp_path / "armed", Path(__file__).resolve().parents[2]
    code = (
        "import sys; from pathlib import Path; from harness.faults import dying\n"
        "class Log:\n    def write(self): print('written', flush=True)\n"
        "dying.wrap(Log, 'write', Path(sys.argv[1]), 'log'); Log().write()"
    )

    def run(place: str) -> tuple[int, str]:
        if place:
            armed.write_text(place)
        ended = subprocess.run(
            [sys.executable, "-c", code, str(armed)], cwd=root, capture_output=True, text=True, check=False
        )
        return ended.returncode, ended.stdout.strip()

    assert run("before log") == (-signal.SIGKILL, "")
    assert run("") == (0, "written")
    assert run("after log") == (-signal.SIGKILL, "written")
    assert run("after something else") == (0, "written")


def test_every_place_is_a_method_of_the_store(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from harness.faults import dying; dying.install(Path(sys.argv[1]))"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "armed")], cwd=root, check=True)


def test_load_tells_who_was_treated_badly() -> None:
    served, refused = load.Sample(202, 0.1, None), load.Sample(429, 0.1, "5")
    assert load.judge([served] * 10 + [refused] * 90) == []
    assert load.judge([served, load.Sample(500, 0.1, None)]) == ["1 answers of status 500"]
    assert load.judge([served, load.Sample(503, 0.1, None)]) == ["1 refusals without Retry-After"]
    assert load.judge([load.Sample(202, 9.0, None)]) == ["the slowest of 100 who were served waited 9.0 s"]
    assert load.judge([refused]) == ["nobody was served"]


def test_soak_tells_what_grew() -> None:
    flat = [soak.Level(100.0, 40.0, 50.0)] * 9
    assert soak.judge(flat) == []
    for name in ("mib", "handles", "keys"):
        levels = [soak.Level(**{**vars(level), name: 50.0 * number}) for number, level in enumerate(flat)]
        assert [line.split()[0] for line in soak.judge(levels)] == [name]


# The worker beside the fuzzer, on a thread, draws numbers while a case is made.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_odd_requests_are_answered_as_the_document_says(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="installed by 'make install' from requirements.lock")
    from harness.fuzzed import fuzz_everything

    statuses, wrong = fuzz_everything(tmp_path, seed=16, requests=300)
    assert wrong == []
    assert sum(statuses.values()) > 150
    assert statuses["200"] + statuses["202"] > 60


def test_a_job_that_failed_without_a_reason_is_found(store: Store) -> None:
    from harness.fuzzed import find_broken_jobs

    told, untold = (accept(store, make_work(INDEX)) for _ in range(2))
    store.jobs.fail(told.job_id, {"code": "checkpoint_refused", "message": "why"})
    store.jobs.fail(untold.job_id, {"code": "internal", "message": "?"})
    assert [line.split()[1] for line in find_broken_jobs(store)] == [untold.job_id]
