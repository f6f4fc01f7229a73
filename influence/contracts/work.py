"""The kinds of long work, each declared once: what it makes, where that is kept and shown, and who does it.

What each kind reads and computes lies elsewhere; all that treats the kinds alike reads this table.
"""

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from influence.contracts.audit import Audit
from influence.contracts.common import now
from influence.contracts.curation.groups import Groups
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Index
from influence.contracts.preview import Preview
from influence.contracts.query import Query
from influence.contracts.sweep import Sweep
from influence.contracts.work_record import WorkRecord
from influence.digests import new_id

JobKind = Literal["index", "query", "preview", "audit", "sweep", "evaluation", "groups"]

#: `build` carries what may take hours, `query` all that a person waits for, so that it never waits behind a build.
QueueName = Literal["build", "query"]
QUEUES: tuple[QueueName, ...] = ("build", "query")

#: How long what was asked can be read again.
ANSWER_SECONDS = 7 * 24 * 3600

Made = TypeVar("Made", bound=WorkRecord)


@dataclass(frozen=True)
class WorkKind(Generic[Made]):
    """One kind of long work.

    `collection` is where its records are read, `/v1/{collection}/{id}`, and their ids begin with `prefix`. `actors` are
    the steps on its queue, the one that begins first, the one that ends last. Records live `lifetime_seconds` from
    their end on, or until they are deleted. `holds` says while what a record is not deleted that it was made from: for
    ever, or while it is worked on, after which it goes along with the rows that it is about; where it is None, the
    record is deleted along with anything that it was made from. `leaves_record` says whether a record stays when its
    job is cancelled; one at an address of its content does not, for the same request finds it again. `is_source` says
    whether other records are made from its records.
    """

    name: JobKind
    collection: str
    prefix: str
    record: type[Made]
    queue: QueueName
    actors: tuple[str, ...]
    lifetime_seconds: int | None = None
    holds: Literal["for ever", "at work"] | None = None
    leaves_record: bool = True
    is_source: bool = False

    @property
    def argument(self) -> str:
        """Name of the record's id in messages."""
        return f"{self.name}_id"

    def goes_first(self, actor: str) -> bool:
        """Whether a step does not wait behind other work: beginning and end of what is done in many pieces are short.

        Otherwise a finished index would stand behind every piece of a larger one that was asked for after it.
        """
        return len(self.actors) > 1 and actor in (self.actors[0], self.actors[-1])

    def path(self, record_id: str) -> str:
        """Where a record is read."""
        return f"/v1/{self.collection}/{record_id}"

    def begin(self, record_id: str | None = None) -> dict[str, Any]:
        """The fields that every new record of the kind has; its id is a new one unless its content decides it."""
        return {
            "id": record_id or new_id(self.prefix),
            "job_id": new_id("job"),
            "state": "queued",
            "created_at": now(),
        }


INDEX = WorkKind(
    "index",
    "indexes",
    "idx",
    Index,
    "build",
    actors=("plan_index", "compute_shard", "finish_index"),
    holds="for ever",
    leaves_record=False,
    is_source=True,
)
QUERY = WorkKind("query", "queries", "qry", Query, "query", ("answer_query",), ANSWER_SECONDS)
PREVIEW = WorkKind("preview", "previews", "pre", Preview, "query", ("preview_rows",), ANSWER_SECONDS)
AUDIT = WorkKind("audit", "audits", "aud", Audit, "query", ("audit_index",), ANSWER_SECONDS)
SWEEP = WorkKind("sweep", "sweeps", "swp", Sweep, "query", ("sweep_dampings",), ANSWER_SECONDS)
GROUPS = WorkKind("groups", "groups", "grp", Groups, "query", ("group_rows",), ANSWER_SECONDS)
EVALUATION = WorkKind(
    "evaluation",
    "evaluations",
    "eval",
    Evaluation,
    "build",
    actors=("plan_evaluation", "evaluate_piece", "finish_evaluation"),
    holds="at work",
)

WORK_KINDS: tuple[WorkKind[Any], ...] = (INDEX, QUERY, PREVIEW, AUDIT, SWEEP, GROUPS, EVALUATION)
KIND_OF_ACTOR: dict[str, WorkKind[Any]] = {actor: kind for kind in WORK_KINDS for actor in kind.actors}


def kind_of(record: Made) -> WorkKind[Made]:
    """The kind that makes such records."""
    return next(kind for kind in WORK_KINDS if kind.record is type(record))
