"""Indexes: what is cached for a checkpoint and a data set, and the questions that it answers."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar, Unpack

from datainf_client.generated import models, settings
from datainf_client.http.session import Session
from datainf_client.resources.audit import Audit
from datainf_client.resources.base import WithName, Work
from datainf_client.resources.groups import Groups
from datainf_client.resources.query import Query
from datainf_client.resources.small import Sweep
from datainf_client.sources.ids import Named, id_of, resource_path
from datainf_client.sources.points import Points, points_body, selection

Asked = TypeVar("Asked", bound=Work)
#: What agreed best with retraining, on the index where an evaluation judged it; the answer names it and says why.
_AUTO = "auto"
#: Most queries are answered within milliseconds; the first on an index loads it.
_QUERY_SECONDS = 20


class Index(models.Index, Work, WithName):
    """Ready to be asked once it has `succeeded`; `.wait()` for it."""

    collection: ClassVar[str] = "indexes"

    def query(
        self, points: Points, *, row_indexes: Sequence[int] | None = None, **given: Unpack[settings.QueryRequest]
    ) -> Query:
        """Which training rows taught the model this: a row, several, a frame, or rows of a stored data set.

        Without a `method` the one is taken that agreed best with retraining; `method_reason` says which and why.
        """
        return ask_query(self._session, self, points, row_indexes, given)

    def audit(
        self,
        evaluation: Named | None = None,
        *,
        row_indexes: Sequence[int] | None = None,
        **given: Unpack[settings.AuditRequest],
    ) -> Audit:
        """Which labels look wrong. `evaluation`: a data set of trusted rows, whose loss adds the signal `influence`."""
        return ask_audit(self._session, self, evaluation, row_indexes, given)

    def group(
        self,
        by: str,
        evaluation: Named,
        *,
        row_indexes: Sequence[int] | None = None,
        **given: Unpack[settings.GroupsRequest],
    ) -> Groups:
        """What each group does to trusted rows: by `label`, or by a metadata column such as a source. The method as for
        a query."""
        return ask_groups(self._session, self, by, evaluation, row_indexes, given)

    def sweep(
        self, points: Points, *, row_indexes: Sequence[int] | None = None, **given: Unpack[settings.SweepRequest]
    ) -> Sweep:
        """How much a method's rankings depend on its damping."""
        return ask_sweep(self._session, self, points, row_indexes, given)

    def grow(self, dataset: Named) -> "Index":
        """An index of another version of the data set with the same settings: rows that it shares keep their codes."""
        given = {name: value for name, value in self.spec.gradients.model_dump().items() if value is not None}
        body = {"checkpoint_id": self.spec.checkpoint_id, "dataset_id": id_of(dataset), "grow_from": self.id, **given}
        return Index.of(self._session, self._session.submit("/v1/indexes", body))


def ask_query(
    session: Session, index: Named, points: Points, row_indexes: Sequence[int] | None, given: Mapping[str, Any]
) -> Query:
    """A query of an index that need not have been read."""
    body = {**points_body(points, row_indexes), **_with_method(given), **given}
    return _ask(session, index, Query, body, {"Prefer": f"wait={_QUERY_SECONDS}"})


def ask_audit(
    session: Session,
    index: Named,
    evaluation: Named | None,
    row_indexes: Sequence[int] | None,
    given: Mapping[str, Any],
) -> Audit:
    """An audit of an index that need not have been read."""
    trusted = {} if evaluation is None else {"evaluation": selection(evaluation, row_indexes)}
    return _ask(session, index, Audit, {**trusted, **given})


def ask_groups(
    session: Session,
    index: Named,
    by: str,
    evaluation: Named,
    row_indexes: Sequence[int] | None,
    given: Mapping[str, Any],
) -> Groups:
    """Groups of an index that need not have been read."""
    asked = {"by": by, "evaluation": selection(evaluation, row_indexes)}
    return _ask(session, index, Groups, {**asked, **_with_method(given), **given})


def ask_sweep(
    session: Session, index: Named, points: Points, row_indexes: Sequence[int] | None, given: Mapping[str, Any]
) -> Sweep:
    """A sweep of an index that need not have been read."""
    return _ask(session, index, Sweep, {**points_body(points, row_indexes), **given})


def _with_method(given: Mapping[str, Any]) -> dict[str, str]:
    """A damping belongs to a method: with one alone the service's default is meant."""
    return {} if "damping_scale" in given else {"method": _AUTO}


def _ask(
    session: Session, index: Named, made: type[Asked], body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Asked:
    path = f"{resource_path('indexes', index)}/{made.collection}"
    return made.of(session, session.submit(path, dict(body), headers=headers))
