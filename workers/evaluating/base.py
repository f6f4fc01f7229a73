"""What a kind of evaluation is: pieces of work that depend on nothing but the request, and a report made of them."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from influence.contracts.common import Json
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Report
from workers.runtime.state import Runtime

#: Takes units done and all units of the piece in hand; raises when nobody wants the result any more.
Watch = Callable[[int, int], None]


@runtime_checkable
class Concluding(Protocol):
    """A kind whose report is of use to something else than its reader."""

    def conclude(self, runtime: Runtime, evaluation: Evaluation, report: Report) -> None:
        """Leave what was found where it is used. Safe to run twice."""


class EvaluationKind(Protocol):
    """One kind of evaluation. A piece and its result are JSON; a result of the same piece is always the same."""

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """The pieces, in an order that gives something to see early. Raises RequestRefused and RowsRefused."""

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """Compute one piece."""

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """The report, from all pieces and their results in the order of the plan."""
