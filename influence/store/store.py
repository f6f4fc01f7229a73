"""The store: one object that holds every way to what is kept."""

from typing import Any, TypeVar

from influence.contracts.checkpoint import Checkpoint, Run
from influence.contracts.curation.review import Review
from influence.contracts.curation.webhook import Webhook
from influence.contracts.dataset import Dataset
from influence.contracts.work import AUDIT, EVALUATION, GROUPS, INDEX, PREVIEW, QUERY, SWEEP, kind_of
from influence.contracts.work_record import WorkRecord
from influence.store import keys
from influence.store.connections import Connections
from influence.store.data.audits import AuditData
from influence.store.data.evaluations import EvaluationData
from influence.store.data.files import Files
from influence.store.data.groups import GroupRows
from influence.store.data.indexes import IndexData
from influence.store.data.reviews import ReviewData
from influence.store.data.scans import Scans
from influence.store.data.scores import QueryScores
from influence.store.data.webhooks import WebhookData
from influence.store.ending.deletions import Deletions
from influence.store.ending.lifetimes import Lifetimes
from influence.store.idempotency import Idempotency
from influence.store.jobs.counters import Counters
from influence.store.jobs.jobs import Jobs
from influence.store.queue import Queue
from influence.store.records import Records, WorkRecords
from influence.store.workers import Workers

Made = TypeVar("Made", bound=WorkRecord)


class Store:
    """Records, jobs, index data, queue and presence over the two Redis roles; all of it, or what one namespace sees.

    `whole` is the one that sees all. What is kept in `files` as well is read back from there, and deleted there, too;
    a store without files knows Redis alone.
    """

    def __init__(
        self,
        connections: Connections,
        files: Files | None = None,
        *,
        namespace: str | None = None,
        whole: "Store | None" = None,
    ) -> None:
        state, cache = connections.state, connections.cache
        self.connections = connections
        self.files = files
        copies = None if files is None else files.records
        self.whole = whole or self
        self._views: dict[str, Store] = {}
        self.checkpoints: Records[Checkpoint] = Records(state, "checkpoint", Checkpoint, namespace, copies)
        self.runs: Records[Run] = Records(state, "run", Run, namespace, copies)
        self.datasets: Records[Dataset] = Records(state, "dataset", Dataset, namespace, copies)
        self.reviews: Records[Review] = Records(state, "review", Review, namespace, copies)
        self.review_data = ReviewData(state, copies)
        self.webhooks: Records[Webhook] = Records(state, "webhook", Webhook, namespace)
        self.webhook_data = WebhookData(state)
        self.index_data = IndexData(state, cache, None if files is None else files.indexes)
        self.evaluation_data = EvaluationData(state)
        self.scores = QueryScores(state)
        self.scans = Scans(cache)
        self.audit_data = AuditData(state)
        self.group_rows = GroupRows(state)
        # Each kind of work with what removes its own data, and what only unfinished work needs of it.
        self.indexes = WorkRecords(state, INDEX, self.index_data.delete, namespace=namespace, copies=copies)
        self.queries = WorkRecords(state, QUERY, self.scores.delete, namespace=namespace)
        self.previews = WorkRecords(state, PREVIEW, namespace=namespace)
        self.audits = WorkRecords(
            state, AUDIT, self.audit_data.delete, self.audit_data.delete_work, namespace=namespace
        )
        self.sweeps = WorkRecords(state, SWEEP, namespace=namespace)
        self.groups = WorkRecords(state, GROUPS, self.group_rows.delete, namespace=namespace)
        self.evaluations = WorkRecords(state, EVALUATION, self.evaluation_data.delete, namespace=namespace)
        self.work: dict[str, WorkRecords[Any]] = {
            found.kind.name: found for found in vars(self).values() if isinstance(found, WorkRecords)
        }
        self.jobs = Jobs(state, namespace)
        self.queue: Queue = Queue(state) if whole is None else whole.queue
        self.workers = Workers(state)
        self.counters = Counters(state)
        self.idempotency = Idempotency(state)
        self.lifetimes = Lifetimes(state)
        self.deletions = Deletions(state)

    def within(self, namespace: str) -> "Store":
        """What a namespace sees: its own records and jobs, and what it makes is its own."""
        if namespace not in self.whole._views:
            self.whole._views[namespace] = Store(self.connections, self.files, namespace=namespace, whole=self.whole)
        return self.whole._views[namespace]

    def close(self) -> None:
        """Let go of the connections, of all namespaces; nothing is put back into Redis any more."""
        for store in (self.whole, *self.whole._views.values()):
            store.index_data.published.returns.close()
        self.connections.close()

    def records_of(self, record: Made) -> WorkRecords[Made]:
        """Where such records are kept."""
        return self.work[kind_of(record).name]

    def holds(self, resource_id: str) -> bool:
        """Whether there is a record under an id, be it one that cannot be read."""
        kind = self._kind_of(resource_id)
        return kind is not None and bool(self.connections.state.exists(keys.record(kind, resource_id)))

    def knows(self, resource_id: str) -> bool:
        """Whether an id is of a kind of which records are kept."""
        return self._kind_of(resource_id) is not None

    def _kind_of(self, resource_id: str) -> str | None:
        kinds = {"ckpt": "checkpoint", "run": "run", "ds": "dataset", "rev": "review", "hook": "webhook"}
        kinds |= {records.kind.prefix: name for name, records in self.work.items()}
        return kinds.get(resource_id.partition("_")[0])

    def ping(self) -> None:
        """Ask both servers for a sign of life; raises a StoreError."""
        self.connections.state.ping()
        self.connections.cache.ping()

    def is_durable_safe(self) -> bool:
        """Whether the state server may never delete records or queue: not with an allkeys eviction policy."""
        policy = self.connections.state.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        return not str(policy).startswith("allkeys")
