"""Pieces of an evaluation: planned once, shared by workers, computed again after accidents, never counted twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.answered import present
from support.evaluations import Squares, squares_request
from support.service import idle_runtime, running_worker
from support.work import submit_evaluation

from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Index, IndexSpec
from influence.contracts.work import EVALUATION, INDEX
from influence.errors import Cancelled, RowsUnfit
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.building.attempts import MAX_ATTEMPTS
from workers.evaluating.job import evaluate_piece, finish_evaluation, plan_evaluation
from workers.process.actors import make_steps, work_on
from workers.process.reaper import resubmit_lost_work
from workers.runtime.state import Runtime

Wait = Callable[..., None]


@pytest.fixture
def kind() -> Squares:
    return Squares()


@pytest.fixture
def start(server: EmbeddedServer, tmp_path: Path, kind: Squares) -> Callable[..., Any]:
    """Run a worker that knows the kind."""

    @contextmanager
    def run() -> Iterator[Runtime]:
        with running_worker(server.url, tmp_path / "data", kinds={"lds": kind}) as runtime:
            yield runtime

    return run


def keys_of(store: Store, evaluation: Evaluation) -> list[bytes]:
    return list(store.connections.state.scan_iter(match=f"*{{{evaluation.id}}}*"))


def test_an_evaluation_goes_from_plan_to_report_with_pictures(
    store: Store, start: Any, kind: Squares, finished: Any
) -> None:
    kind.go.set()
    with start():
        asked = submit_evaluation(store, squares_request(4))
        assert finished(store, asked.job_id).state == "succeeded"
    found = store.evaluations.require(asked.id)
    assert (found.state, found.pieces, present(found.report).figures) == ("succeeded", 4, {"squares": [0, 1, 4, 9]})
    assert present(found.finished_at) >= found.created_at
    assert present(store.evaluation_data.picture(asked.id, "squares.svg")).startswith(b"<?xml")
    assert present(store.evaluation_data.picture(asked.id, "squares.png")).startswith(b"\x89PNG")
    progress = store.jobs.require(asked.job_id).progress
    assert progress.phases == ("planning", "trainings", "finishing")
    assert (progress.phase, progress.done, progress.total, progress.unit) == ("finishing", 1, 1, "reports")


def test_several_workers_share_the_pieces(
    store: Store, start: Any, kind: Squares, finished: Any, wait_until: Wait
) -> None:
    with start(), start():
        asked = submit_evaluation(store, squares_request(6))
        wait_until(lambda: len({name for name, _ in kind.runs}) == 2, "both workers hold a piece")
        kind.go.set()
        assert finished(store, asked.job_id).state == "succeeded"
    # On a busy machine a piece may be delivered twice; its result is written once.
    assert {number for _, number in kind.runs} == set(range(6))
    assert kind.plans == 1


def test_progress_moves_within_a_piece(
    store: Store, start: Any, kind: Squares, wait_until: Wait, finished: Any
) -> None:
    with start():
        asked = submit_evaluation(store, squares_request(4))
        wait_until(lambda: store.jobs.require(asked.job_id).progress.share == 1 / 8, "half a piece of four is done")
        progress = store.jobs.require(asked.job_id).progress
        assert (progress.phase, progress.total, progress.unit) == ("trainings", asked.request.trainings, "trainings")
        assert progress.done == int(asked.request.trainings / 8)
        kind.go.set()
        finished(store, asked.job_id)


def test_a_query_does_not_wait_for_a_piece(
    store: Store, start: Any, kind: Squares, wait_until: Wait, finished: Any
) -> None:
    with start():
        asked = submit_evaluation(store, squares_request(4))
        wait_until(lambda: kind.runs, "a piece is in hand")
        store.queue.submit("answer_query", query_id="qry_gone")
        wait_until(lambda: store.queue.depth("query") == 0, "the query was served")
        assert not store.jobs.require(asked.job_id).is_final
        kind.go.set()
        finished(store, asked.job_id)


def test_cancelling_stops_the_piece_in_hand_and_leaves_nothing(
    store: Store, start: Any, kind: Squares, wait_until: Wait
) -> None:
    with start():
        asked = submit_evaluation(store, squares_request(4))
        wait_until(lambda: kind.runs, "a piece is in hand")
        store.jobs.cancel(asked.job_id)
        wait_until(lambda: store.queue.depth("build") == 0, "the queue is empty")
    assert keys_of(store, asked) == []
    assert len(kind.runs) == 1


def test_a_piece_of_a_worker_that_ends_is_computed_by_another(
    store: Store, start: Any, kind: Squares, wait_until: Wait, finished: Any
) -> None:
    with start() as first:
        asked = submit_evaluation(store, squares_request(4))
        wait_until(lambda: kind.runs, "a piece is in hand")
        first.stopping.set()
        wait_until(lambda: not store.workers.alive(), "the first worker is gone")
    # An orderly end is no accident.
    assert not store.connections.state.hexists(keys.job(asked.job_id), f"attempts:{kind.runs[0][1]}")
    kind.go.set()
    with start():
        assert finished(store, asked.job_id).state == "succeeded"
    assert {number for _, number in kind.runs} == {0, 1, 2, 3}


def test_a_piece_that_kills_its_workers_fails_the_evaluation(
    store: Store, start: Any, kind: Squares, finished: Any
) -> None:
    kind.go.set()
    asked = submit_evaluation(store, squares_request(4))
    for _ in range(MAX_ATTEMPTS):
        store.jobs.attempts.count(asked.job_id, 2)
    with start():
        job = finished(store, asked.job_id)
    assert (job.state, job.error["code"]) == ("failed", "worker_died")
    assert "Piece 2 was begun 5 times" in job.error["detail"]


def test_what_the_kind_refuses_is_the_answer_and_leaves_no_results(
    store: Store, start: Any, kind: Squares, finished: Any
) -> None:
    def refuse(number: int) -> None:
        if number == 2:
            raise RowsUnfit("Row 7 is odd.")

    kind.before = refuse
    kind.go.set()
    with start():
        asked = submit_evaluation(store, squares_request(4))
        job = finished(store, asked.job_id)
    assert (job.state, job.error["code"]) == ("failed", "rows_unfit")
    found = store.evaluations.require(asked.id)
    assert (found.state, present(found.error)["detail"]) == ("failed", "Row 7 is odd.")
    assert present(found.finished_at) is not None
    assert keys_of(store, asked) == []


def test_a_plan_is_made_once_and_a_result_counts_once(
    server: EmbeddedServer, store: Store, tmp_path: Path, kind: Squares
) -> None:
    kind.go.set()
    asked = submit_evaluation(store, squares_request(4), queued=False)
    store.jobs.start(asked.job_id)
    with idle_runtime(server.url, tmp_path / "data") as runtime:
        # Delivered twice, and by a worker that read the record before it was planned.
        plan_evaluation(runtime, asked, kind)
        plan_evaluation(runtime, asked, kind)
        assert kind.plans == 1
        planned = store.evaluations.require(asked.id)
        for piece in (0, 0, 1, 2, 3, 3):
            evaluate_piece(runtime, planned, kind, piece)
        assert [number for _, number in kind.runs] == [0, 1, 2, 3]
        assert not store.evaluation_data.keep_result(asked.id, 0, {"square": -1})
        finish_evaluation(runtime, planned, kind)
        with pytest.raises(Cancelled):
            finish_evaluation(runtime, planned, kind)
    assert present(store.evaluations.require(asked.id).report).figures == {"squares": [0, 1, 4, 9]}


def test_a_job_whose_worker_died_behind_its_report_ends_all_the_same(
    server: EmbeddedServer, store: Store, tmp_path: Path, kind: Squares
) -> None:
    asked = submit_evaluation(store, squares_request(4), queued=False)
    store.jobs.start(asked.job_id)
    store.evaluations.update(asked.id, lambda found: found.model_copy(update={"state": "succeeded", "pieces": 4}))
    with idle_runtime(server.url, tmp_path / "data") as runtime:
        work_on(
            runtime,
            EVALUATION,
            make_steps({"lds": kind})["finish_evaluation"],
            evaluation_id=asked.id,
            job_id=asked.job_id,
        )
    assert store.jobs.require(asked.job_id).state == "succeeded"


def test_how_long_trainings_take_is_expected_by_the_speed_of_the_index(
    server: EmbeddedServer, store: Store, tmp_path: Path, kind: Squares
) -> None:
    spec = IndexSpec(checkpoint_id="ckpt_a", dataset_id="ds_a", storage="full")
    store.indexes.create(Index(**INDEX.begin("idx_a"), spec=spec, rows=100, timings={"rows_per_second": 10.0}))
    asked = submit_evaluation(
        store, squares_request(4).model_copy(update={"index_id": "idx_a", "dataset_id": None}), queued=False
    )
    store.jobs.start(asked.job_id)
    with idle_runtime(server.url, tmp_path / "data") as runtime:
        plan_evaluation(runtime, asked, kind)
    # Four trainings on half of the rows, each row twice as long as its gradient, and two seconds beside.
    seconds = asked.request.recipe.epochs * 4 * 50 / 10.0 * 2 + 4 * 2
    assert store.jobs.require(asked.job_id).progress.eta_seconds == pytest.approx(seconds, abs=10.0)


def test_a_lost_plan_comes_back_the_same(server: EmbeddedServer, store: Store, tmp_path: Path, kind: Squares) -> None:
    kind.go.set()
    asked = submit_evaluation(store, squares_request(4), queued=False)
    store.jobs.start(asked.job_id)
    with idle_runtime(server.url, tmp_path / "data") as runtime:
        plan_evaluation(runtime, asked, kind)
        store.connections.state.delete(keys.evaluation_plan(asked.id))
        evaluate_piece(runtime, store.evaluations.require(asked.id), kind, 3)
    assert store.evaluation_data.results(asked.id) == {3: {"square": 9}}
    assert len(present(store.evaluation_data.plan(asked.id))) == 4


def test_a_request_without_pieces_is_refused(
    store: Store, start: Any, kind: Squares, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "plan", lambda _runtime, _evaluation: [])
    with start():
        job = finished(store, submit_evaluation(store, squares_request(4)).job_id)
    assert (job.state, job.error["code"]) == ("failed", "invalid_request")


def test_a_kind_that_the_worker_does_not_know_fails_with_what_to_do(
    server: EmbeddedServer, store: Store, tmp_path: Path, finished: Any
) -> None:
    with running_worker(server.url, tmp_path / "data", kinds={}):
        job = finished(store, submit_evaluation(store, squares_request(4)).job_id)
    assert job.state == "failed"
    assert "Update the workers" in job.error["hint"]


def test_lost_messages_are_submitted_again(store: Store, start: Any, kind: Squares) -> None:
    asked = submit_evaluation(store, squares_request(4), queued=False)
    store.jobs.start(asked.job_id)
    about = {"evaluation_id": asked.id, "job_id": asked.job_id}
    assert resubmit_lost_work(store) == 1
    assert store.queue.waiting("build") == [("plan_evaluation", about)]
    store.evaluations.update(asked.id, lambda found: found.model_copy(update={"state": "running", "pieces": 2}))
    store.evaluation_data.keep_result(asked.id, 0, {"square": 0})
    assert resubmit_lost_work(store) == 1
    assert ("evaluate_piece", {**about, "piece": 1}) in store.queue.waiting("build")
    store.evaluation_data.keep_result(asked.id, 1, {"square": 1})
    assert resubmit_lost_work(store) == 1
    assert ("finish_evaluation", about) in store.queue.waiting("build")
    assert resubmit_lost_work(store) == 0
    store.jobs.cancel(asked.job_id)
    store.connections.state.delete("datainf-queue:build.msgs")
    assert resubmit_lost_work(store) == 0
