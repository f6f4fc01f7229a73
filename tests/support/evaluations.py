"""A kind of evaluation without a model."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import LdsRequest
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Picture, Report, Series, Table
from workers.evaluating.base import Watch
from workers.runtime.state import Runtime


@dataclass
class Squares:
    """Each piece squares a number: as many pieces as the request has subsets, all held back until `go` is set.

    `before` runs at the beginning of a piece and may raise. What was planned and run is remembered.
    """

    go: threading.Event = field(default_factory=threading.Event)
    before: Callable[[int], None] = lambda _number: None
    plans: int = 0
    runs: list[tuple[str, int]] = field(default_factory=list)

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        self.plans += 1
        assert isinstance(evaluation.request, LdsRequest)
        return [{"number": number} for number in range(evaluation.request.subsets)]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        number = int(piece["number"])
        self.runs.append((runtime.name, number))
        self.before(number)
        while not self.go.wait(0.01):
            watch(1, 2)
        return {"square": number**2}

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        numbers = [int(piece["number"]) for piece in pieces]
        squares = [int(result["square"]) for result in results]
        table = Table(
            name="squares", title="Squares", columns=("n", "n²"), rows=tuple(zip(numbers, squares, strict=True))
        )
        series = Series(label="n²", x=tuple(numbers), y=tuple(squares))
        picture = Picture(name="squares", title="Squares", x_label="n", y_label="n²", series=(series,))
        return Report(tables=(table,), pictures=(picture,), reading=("Squares grow.",), figures={"squares": squares})


def squares_request(count: int = 4) -> LdsRequest:
    return LdsRequest(kind="lds", dataset_id="ds_a", subsets=count)
