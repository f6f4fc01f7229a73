"""What is kept of work that is tried again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.evaluations import Squares, squares_request
from support.service import running_worker
from support.work import submit_evaluation

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

ROW = "the text of a row"


def test_a_message_that_waits_for_its_next_attempt_quotes_nothing(
    server: EmbeddedServer, store: Store, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    def break_down(_number: int) -> None:
        raise RuntimeError(ROW)

    def read_retries() -> list[bytes]:
        found: list[Any] = store.connections.state.hvals("datainf-queue:build.DQ.msgs")
        return [message for message in found if b'"retries":1' in message.replace(b" ", b"")]

    kind = Squares(before=break_down)
    kind.go.set()
    with running_worker(server.url, tmp_path / "data", kinds={"lds": kind}):
        asked = submit_evaluation(store, squares_request(4))
        seen: list[bytes] = []

        def see() -> bool:
            seen.extend(read_retries())
            return bool(seen)

        wait_until(see, "a piece is to be tried again")
        wait_until(lambda: store.jobs.require(asked.job_id).is_final, "the evaluation has failed")
    assert not any(ROW.encode() in message or b"Traceback" in message for message in seen)
