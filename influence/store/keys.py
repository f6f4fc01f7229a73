"""Every Redis key, made here and nowhere else: type, role, owner, lifetime.

Roles: *state* is durable (records, queue, commits, norms) and nothing there has a lifetime in Redis, for a full server
evicts what has one, unless the files have it, too; what ends by itself has a line in `lifetimes`, and workers remove
it. *cache* may be evicted and is computed again when missed. Both may be one server.
"""

import hashlib
import re
from typing import NamedTuple

from influence.errors import NotFound

PREFIX = "datainf:"
_ID = re.compile(r"[a-z]+_[0-9A-Za-z]+")
#: What belongs to a record has its id in the name, and that of a build the job that builds it.
_OWNED = re.compile(
    rf"{PREFIX}(?:(?:query|audit):)?{{?(?P<id>[a-z]+_[0-9A-Za-z]+)(?:\.(?P<job>job_[0-9A-Za-z]+))?(?:\.\d+)?}}?:.+"
)
_JOB = re.compile(rf"{PREFIX}job:(?P<id>job_[0-9A-Za-z]+)")

#: Dramatiq's namespace on the state server: its lists and hashes of messages. Owner: the queue.
QUEUE_NAMESPACE = "datainf-queue"

#: How long the answer to an Idempotency-Key is remembered.
IDEMPOTENCY_SECONDS = 24 * 3600
#: How long a finished job can be read.
JOB_SECONDS = 30 * 24 * 3600
#: Lifetime of a full-gradient chunk, refreshed on use, and of what the files have of an index.
CHUNK_SECONDS = 30 * 24 * 3600
#: A worker that has not been heard of for so long does not count as running.
WORKER_SECONDS = 15
#: A worker that repairs a shard has to be heard of so often; else another takes the repair over.
REPAIR_SECONDS = 15
#: Lifetime of what a pass over a partitioned index asks and answers; what is evicted before is asked for again.
SCAN_SECONDS = 3600


class Owner(NamedTuple):
    """What a key belongs to: a record, or one of its builds."""

    resource_id: str
    job_id: str | None = None

    def __str__(self) -> str:
        return self.resource_id if self.job_id is None else f"{self.resource_id}.{self.job_id}"


def owner_of(name: str) -> Owner | None:
    """What a key belongs to that is kept beside a record, or the job that it is; None of all others."""
    found = _OWNED.fullmatch(name)
    if found is not None:
        return Owner(found["id"], found["job"])
    job = _JOB.fullmatch(name)
    return None if job is None else Owner(job["id"])


def is_id(text: str) -> bool:
    """Whether a text is fit to be part of a key."""
    return _ID.fullmatch(text) is not None


def checked(kind: str, resource_id: str) -> str:
    """An id fit to be part of a key: another text could name what lies below a resource. Raises NotFound."""
    if not is_id(resource_id):
        raise NotFound(f"There is no {kind} '{resource_id[:80]}'.", hint="Ids look like 'idx_3f1c'.")
    return resource_id


def record(kind: str, record_id: str) -> str:
    """string, JSON · state · api creates, workers update · until deleted, or for its kind's lifetime once final."""
    return f"{PREFIX}{kind}:{checked(kind, record_id)}"


def lifetimes() -> str:
    """sorted set "kind name" -> when it ends, seconds since 1970 · state · api, workers · members leave with what they
    name."""
    return f"{PREFIX}lifetimes"


def listing(kind: str, namespace: str | None = None) -> str:
    """sorted set id -> creation time in ms (workers: last seen) · state · api, workers · members leave with records.

    There is one of all records of a kind, and one a namespace.
    """
    return f"{PREFIX}{kind}s" if namespace is None else f"{PREFIX}{kind}s@{namespace}"


def listings(kind: str, namespace: str) -> tuple[str, str]:
    """The two sorted sets that a record is listed in."""
    return listing(kind), listing(kind, namespace)


def job(job_id: str) -> str:
    """hash: record, state, progress fields, `shard:<i>` rows done · state · workers · JOB_SECONDS once final."""
    return f"{PREFIX}job:{checked('job', job_id)}"


def open_jobs(namespace: str | None = None) -> str:
    """set of job ids, all or a namespace's · state · api, workers · members leave when their jobs are over."""
    return f"{PREFIX}jobs:open" if namespace is None else f"{PREFIX}jobs:open@{namespace}"


def counters() -> str:
    """hash "name labels" -> count, or seconds since 1970 · state · api, workers · for ever, of bounded size."""
    return f"{PREFIX}counters"


def job_events(job_id: str) -> str:
    """pub/sub channel: a wake-up whenever the job changes · no lifetime."""
    return f"{PREFIX}events:{job_id}"


def deletions() -> str:
    """pub/sub channel: the id of an index that was deleted · api to workers · no lifetime."""
    return f"{PREFIX}deleted-indexes"


def commits(build: str) -> str:
    """hash shard -> ShardCommit JSON, written once each · state · workers · lives with the build."""
    return f"{PREFIX}{{{build}}}:commits"


def row_state(build: str, shard: int, part: str, piece: int) -> str:
    """string, chunk (norms, kept rows, losses, codes, embeddings) · state · workers · lives with the build."""
    return f"{PREFIX}{{{build}.{shard}}}:{part}:{piece}"


def index_state(build: str, part: str, piece: int) -> str:
    """string, chunk (basis, moments) · state · workers · lives with the build."""
    return f"{PREFIX}{{{build}}}:{part}:{piece}"


def manifest(build: str) -> str:
    """hash name -> JSON [shape, dtype] of the index's whole arrays · state · workers · lives with the build."""
    return f"{PREFIX}{{{build}}}:manifest"


def gradients(build: str, shard: int, block: int, piece: int) -> str:
    """string, chunk of full gradients · cache · workers · CHUNK_SECONDS, refreshed on use."""
    return f"{PREFIX}{{{build}.{shard}}}:g:{block}:{piece}"


def query_scores(query_id: str, piece: int) -> str:
    """string, chunk (test points x rows) · state · workers · lives with the query."""
    return f"{PREFIX}query:{query_id}:scores:{piece}"


def evaluation_plan(evaluation_id: str) -> str:
    """string, JSON list of pieces, written once · state · workers · lives with the evaluation."""
    return f"{PREFIX}{{{evaluation_id}}}:plan"


def evaluation_results(evaluation_id: str) -> str:
    """hash piece -> JSON result, written once each · state · workers · lives with the evaluation."""
    return f"{PREFIX}{{{evaluation_id}}}:results"


def evaluation_pictures(evaluation_id: str) -> str:
    """hash file name -> bytes of the picture · state · workers · lives with the evaluation."""
    return f"{PREFIX}{{{evaluation_id}}}:pictures"


def audit_column(audit_id: str, column: str, piece: int) -> str:
    """string, chunk (rows audited,) · state · workers · lives with the audit."""
    return f"{PREFIX}audit:{{{audit_id}}}:column:{column}:{piece}"


def audit_parts(audit_id: str, stage: str) -> str:
    """hash part number -> chunk, rows of an audit under way · state · workers · until its table is written."""
    return f"{PREFIX}audit:{{{audit_id}}}:parts:{stage}"


def audit_sum(audit_id: str, rows: int, piece: int) -> str:
    """string, chunk: sum of the first `rows` evaluation gradients · state · workers · until the next sum is written."""
    return f"{PREFIX}audit:{{{audit_id}}}:sum:{rows}:{piece}"


def audit_pattern(audit_id: str) -> str:
    """Pattern of all chunks of an audit, for SCAN when it is deleted."""
    return f"{PREFIX}audit:{{{audit_id}}}:*"


def group_rows(groups_id: str, column: str, piece: int) -> str:
    """string, chunk (rows of the data set,) · state · workers · lives with the groups."""
    return f"{PREFIX}{{{groups_id}}}:{column}:{piece}"


def review_decisions(review_id: str) -> str:
    """hash row index -> Decision JSON · state · api · lives with the review."""
    return f"{PREFIX}{{{review_id}}}:decisions"


def review_order(review_id: str) -> str:
    """sorted set row index -> version that decided it · state · api · lives with the review."""
    return f"{PREFIX}{{{review_id}}}:order"


def review_moves(review_id: str) -> str:
    """sorted set row index -> version that last changed it, decisions taken back included · state · api · lives with
    the review."""
    return f"{PREFIX}{{{review_id}}}:moves"


def review_owners(review_id: str) -> str:
    """hash row index -> version whose word stands there, after undoing too · state · api · lives with the review."""
    return f"{PREFIX}{{{review_id}}}:owners"


def review_counts(review_id: str) -> str:
    """hash action -> decisions · state · api · lives with the review."""
    return f"{PREFIX}{{{review_id}}}:counts"


def review_history(review_id: str) -> str:
    """list of changes as JSON, the oldest first; its length is the version · state · api · lives with the review."""
    return f"{PREFIX}{{{review_id}}}:history"


def repair_lock(build: str, shard: int) -> str:
    """string, who computes a lost shard again · state · that worker, and only while it holds it · REPAIR_SECONDS,
    refreshed; a lease that a full server evicts costs a second computation of the same bytes."""
    return f"{PREFIX}{{{build}.{shard}}}:repair"


def repair_pattern(build: str) -> str:
    """Pattern of the leases on all shards of a build, for SCAN."""
    return f"{PREFIX}{{{build}.*}}:repair"


def orphans() -> str:
    """sorted set record or build -> when its data were first found without a record, seconds since 1970 · state ·
    workers · members leave with the data; `looked` is when somebody looked last."""
    return f"{PREFIX}orphans"


def idempotency(key_digest: str) -> str:
    """string, JSON answer or since when one is worked on · state · api · IDEMPOTENCY_SECONDS."""
    return f"{PREFIX}idempotency:{key_digest}"


def worker(name: str) -> str:
    """string, JSON description · state · the worker itself · until it has not been heard of for WORKER_SECONDS."""
    return f"{PREFIX}worker:{name}"


def own_queue(worker_name: str) -> str:
    """A queue that one worker alone takes from, as Dramatiq names it · state · whoever asks · until the worker says
    goodbye or is found silent."""
    return f"own.{hashlib.sha256(worker_name.encode()).hexdigest()[:20]}"


def own_queue_keys(worker_name: str, broker_id: str) -> list[str]:
    """All keys of a worker's own queue, its `broker_id` being who takes from it."""
    queue = own_queue(worker_name)
    parts = [queue, f"{queue}.DQ", f"{queue}.XQ"]
    held = [f"{QUEUE_NAMESPACE}:__acks__.{broker_id}.{part}" for part in parts[:2]]
    return [*(f"{QUEUE_NAMESPACE}:{part}{end}" for part in parts for end in ("", ".msgs")), *held, wake(queue)]


def wake(queue: str) -> str:
    """list, one entry for each time that a worker is told to look at its own queue · state · whoever asks · until it
    has looked, or SCAN_SECONDS."""
    return f"{PREFIX}wake:{queue}"


def holders(build: str) -> str:
    """hash "parts part" -> worker that keeps this part of an index hot · cache · workers · CHUNK_SECONDS, refreshed."""
    return f"{PREFIX}{{{build}}}:holders"


def scan_asked(scan_id: str, piece: int) -> str:
    """string, chunk: what all parts of a pass are asked · cache · workers · SCAN_SECONDS."""
    return f"{PREFIX}scan:{{{scan_id}}}:asked:{piece}"


def scan_found(scan_id: str, part: int, piece: int) -> str:
    """string, chunk: a part's answer · cache · workers · SCAN_SECONDS."""
    return f"{PREFIX}scan:{{{scan_id}}}:found:{part}:{piece}"


def scan_outcomes(scan_id: str) -> str:
    """hash part -> Outcome JSON, written once each, after the part's answer · cache · workers · SCAN_SECONDS."""
    return f"{PREFIX}scan:{{{scan_id}}}:outcomes"


def scan_news(scan_id: str) -> str:
    """list of parts that have an outcome, taken by who waits for them · cache · workers · SCAN_SECONDS."""
    return f"{PREFIX}scan:{{{scan_id}}}:news"


def build_pattern(name: str) -> str:
    """Pattern of all keys of a build, or of all builds where `name` is an index's id, for SCAN in deletions."""
    return f"{PREFIX}{{{name}*"


def webhook_events() -> str:
    """list of events as JSON, the oldest first · state · api, workers · until workers have put them out."""
    return f"{PREFIX}webhook-events"


def webhook_turns() -> str:
    """sorted set webhook id -> when it is told its next message, seconds since 1970 · state · api, workers · while it
    has messages."""
    return f"{PREFIX}webhook-turns"


def webhook_state(webhook_id: str) -> str:
    """hash: secret, failures in a row · state · api, workers · lives with the webhook."""
    return f"{PREFIX}{{{checked('webhook', webhook_id)}}}:state"


def webhook_messages(webhook_id: str) -> str:
    """list of messages as JSON, the next one first · state · api, workers · until taken or given up."""
    return f"{PREFIX}{{{checked('webhook', webhook_id)}}}:messages"


def webhook_deliveries(webhook_id: str) -> str:
    """list of the last attempts as JSON, the newest first · state · workers · lives with the webhook."""
    return f"{PREFIX}{{{checked('webhook', webhook_id)}}}:deliveries"
