"""What is made of indexes, data sets and audits."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from datainf_client.collections.base import Collection, Listed
from datainf_client.generated import models, settings
from datainf_client.resources.audit import Audit
from datainf_client.resources.groups import Groups
from datainf_client.resources.index import Index, ask_audit, ask_groups, ask_query, ask_sweep
from datainf_client.resources.query import Query
from datainf_client.resources.review import Review
from datainf_client.resources.small import Evaluation, Job, Preview, Sweep, Webhook
from datainf_client.sources.ids import Named, id_of, resource_path
from datainf_client.sources.points import Points


class Indexes(Listed[Index]):
    """All that is cached for a checkpoint and a data set."""

    kind = Index

    def create(
        self,
        checkpoint: Named,
        dataset: Named,
        *,
        grow_from: Named | None = None,
        **given: Unpack[settings.IndexRequest],
    ) -> Index:
        """Build an index, or find the one that the same request built before; `.wait()` for it."""
        grown = {} if grow_from is None else {"grow_from": id_of(grow_from)}
        body = {"checkpoint_id": id_of(checkpoint), "dataset_id": id_of(dataset), **grown, **given}
        return Index.of(self._session, self._session.submit("/v1/indexes", body))

    def compare(self, before: Named, after: Named) -> models.Comparison:
        """What changed from one index to another: rows, ranks of the same questions, audits, losses."""
        return models.Comparison.model_validate(
            self._session.get("/v1/comparisons", **{"from": id_of(before), "to": id_of(after)})
        )


class Queries(Listed[Query]):
    """Test points scored against an index."""

    kind = Query

    def create(
        self,
        index: Named,
        points: Points,
        *,
        row_indexes: Sequence[int] | None = None,
        **given: Unpack[settings.QueryRequest],
    ) -> Query:
        """As `index.query`, for an index by its id."""
        return ask_query(self._session, index, points, row_indexes, given)


class Audits(Listed[Audit]):
    """Training rows ranked by evidence that their label is wrong."""

    kind = Audit

    def create(
        self,
        index: Named,
        evaluation: Named | None = None,
        *,
        row_indexes: Sequence[int] | None = None,
        **given: Unpack[settings.AuditRequest],
    ) -> Audit:
        """As `index.audit`, for an index by its id."""
        return ask_audit(self._session, index, evaluation, row_indexes, given)


class AllGroups(Listed[Groups]):
    """Training rows taken together."""

    kind = Groups

    def create(
        self,
        index: Named,
        by: str,
        evaluation: Named,
        *,
        row_indexes: Sequence[int] | None = None,
        **given: Unpack[settings.GroupsRequest],
    ) -> Groups:
        """As `index.group`, for an index by its id."""
        return ask_groups(self._session, index, by, evaluation, row_indexes, given)


class Sweeps(Listed[Sweep]):
    """How much rankings depend on the damping."""

    kind = Sweep

    def create(
        self,
        index: Named,
        points: Points,
        *,
        row_indexes: Sequence[int] | None = None,
        **given: Unpack[settings.SweepRequest],
    ) -> Sweep:
        """As `index.sweep`, for an index by its id."""
        return ask_sweep(self._session, index, points, row_indexes, given)


class Previews(Collection[Preview]):
    """Rows as a model reads them."""

    kind = Preview

    def create(self, dataset: Named, checkpoint: Named, **given: Unpack[settings.PreviewRequest]) -> Preview:
        """As `dataset.preview`, for a data set by its id."""
        body = {"checkpoint_id": id_of(checkpoint), **given}
        path = f"{resource_path('datasets', dataset)}/preview"
        return Preview.of(self._session, self._session.submit(path, body))


class Reviews(Listed[Review]):
    """What people decided about the rows of a data set."""

    kind = Review

    def create(self, dataset: Named, *, audit: Named | None = None, name: str | None = None) -> Review:
        """Begin a review; an audit lends it its order, filters and suggested labels."""
        body = {"dataset_id": id_of(dataset), "audit_id": None if audit is None else id_of(audit), "name": name}
        return Review.of(self._session, self._session.submit("/v1/reviews", body))


class Evaluations(Listed[Evaluation]):
    """Experiments that train again to say which scores to trust."""

    kind = Evaluation

    def create(
        self,
        kind: str,
        *,
        index: Named | None = None,
        dataset: Named | None = None,
        evaluation_dataset: Named | None = None,
        **given: Any,
    ) -> Evaluation:
        """Begin one of a kind (`lds`, `leave-out`, `mislabelled`, `calibrate`, ...) on an index or on rows; settings
        as the kind takes them. `.wait()` for its report."""
        named = {"index_id": index, "dataset_id": dataset, "evaluation_dataset_id": evaluation_dataset}
        return Evaluation.of(self._session, self._session.submit("/v1/evaluations", _experiment(kind, named, given)))

    def cost(
        self,
        kind: str,
        *,
        index: Named | None = None,
        dataset: Named | None = None,
        evaluation_dataset: Named | None = None,
        **given: Any,
    ) -> models.Cost:
        """What `create` with the same arguments would take: trainings, steps, seconds. Nothing is begun."""
        named = {"index_id": index, "dataset_id": dataset, "evaluation_dataset_id": evaluation_dataset}
        body = _experiment(kind, named, given)
        return models.Cost.model_validate(self._session.post("/v1/evaluations/cost", body, is_repeatable=True))


def _experiment(kind: str, named: Mapping[str, Named | None], given: Mapping[str, Any]) -> dict[str, Any]:
    ids = {name: id_of(value) for name, value in named.items() if value is not None}
    return {"kind": kind, **ids, **given}


class Jobs(Listed[Job]):
    """Long work."""

    kind = Job

    def cancel(self, job: Named) -> Job:
        """End a job and remove what it made so far."""
        return Job.of(self._session, self._session.delete(resource_path("jobs", job)))


class Webhooks(Listed[Webhook]):
    """Addresses that are told what happened."""

    kind = Webhook

    def create(self, url: str, *, events: Sequence[str] | None = None, name: str | None = None) -> Webhook:
        """Have an address told of events, of all where none is named. What is answered has a `secret`, this once."""
        body = {"url": url, "name": name, **({} if events is None else {"events": list(events)})}
        return Webhook.of(self._session, self._session.submit("/v1/webhooks", body))
