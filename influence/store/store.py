"""The store: one object that holds every way to what is kept."""

from influence.contracts.audit import Audit
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.evaluation import Evaluation
from influence.contracts.index import Index
from influence.contracts.preview import Preview
from influence.contracts.query import Query
from influence.contracts.review import Review
from influence.contracts.sweep import Sweep
from influence.store.connections import Connections
from influence.store.data.audits import AuditData
from influence.store.data.evaluations import EvaluationData
from influence.store.data.indexes import IndexData
from influence.store.data.reviews import ReviewData
from influence.store.data.scores import QueryScores
from influence.store.deletions import Deletions
from influence.store.idempotency import Idempotency
from influence.store.jobs import Jobs
from influence.store.queue import Queue
from influence.store.records import Records
from influence.store.workers import Workers


class Store:
    """Records, jobs, index data, queue and presence over the two Redis roles."""

    def __init__(self, connections: Connections) -> None:
        state, cache = connections.state, connections.cache
        self.connections = connections
        self.checkpoints: Records[Checkpoint] = Records(state, "checkpoint", Checkpoint)
        self.datasets: Records[Dataset] = Records(state, "dataset", Dataset)
        self.indexes: Records[Index] = Records(state, "index", Index)
        self.queries: Records[Query] = Records(state, "query", Query)
        self.sweeps: Records[Sweep] = Records(state, "sweep", Sweep)
        self.previews: Records[Preview] = Records(state, "preview", Preview)
        self.evaluations: Records[Evaluation] = Records(state, "evaluation", Evaluation)
        self.audits: Records[Audit] = Records(state, "audit", Audit)
        self.reviews: Records[Review] = Records(state, "review", Review)
        self.review_data = ReviewData(state)
        self.jobs = Jobs(state)
        self.index_data = IndexData(state, cache)
        self.evaluation_data = EvaluationData(state)
        self.scores = QueryScores(state)
        self.audit_data = AuditData(state)
        self.queue = Queue(state)
        self.workers = Workers(state)
        self.idempotency = Idempotency(state)
        self.deletions = Deletions(state)

    def ping(self) -> None:
        """Ask both servers for a sign of life; raises a StoreError."""
        self.connections.state.ping()
        self.connections.cache.ping()

    def is_durable_safe(self) -> bool:
        """Whether the state server may never delete records or queue: not with an allkeys eviction policy."""
        policy = self.connections.state.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        return not str(policy).startswith("allkeys")
