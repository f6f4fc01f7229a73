"""Records from their copies: what is there stays, what is damaged is refused by name, the rest is written.

Safe to run again, and beside a service that runs. A copy was written by us, and may have been changed by whoever can
write to the files: each is checked as a request would be, in an order in which what it names comes first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.common import Record
from influence.errors import DatainfError
from influence.store import keys
from influence.store.data.files import Files
from influence.store.data.vault.record_copies import RecordCopies
from influence.store.records import Records
from influence.store.recovery.checks import CopyRefused, make_checks, parse_copy
from influence.store.store import Store

State = Literal["recovered", "there", "refused"]
STATES: tuple[State, ...] = ("recovered", "there", "refused")

#: What has no copy, and so is lost with Redis.
NOT_RECOVERED = (
    "jobs, and work that waited or ran",
    "queries, audits, sweeps, previews, groups and evaluations with their reports",
    "indexes of full storage (the same request builds them again)",
    "API keys and webhooks (make them again)",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one copy; `reason` says why it was refused."""

    kind: str
    id: str
    state: State
    reason: str | None = None


def recover(store: Store, files: Files, base_models: BaseModels) -> Iterator[Outcome]:
    """Make records anew from all copies, with what is theirs. Raises FilesUnavailable and StoreErrors: run it again."""
    checks = make_checks(store, files, base_models)
    collections: dict[str, Records[Any]] = {
        "dataset": store.datasets,
        "checkpoint": store.checkpoints,
        "run": store.runs,
        "index": store.indexes,
        "review": store.reviews,
    }
    for kind, records in collections.items():
        for name in sorted(files.records.names(kind)):
            yield _recover(kind, name, records, checks[kind], files.records)
            if kind == "review" and keys.is_id(name) and store.holds(name):
                yield from _recover_decisions(store, name)


def _recover(
    kind: str, name: str, records: Records[Any], check: Callable[[Any], None], copies: RecordCopies
) -> Outcome:
    try:
        if not keys.is_id(name):
            raise CopyRefused("its name is no id")
        if records.find_whole(name) is not None:
            return Outcome(kind, name, "there")
        record: Record = parse_copy(copies.read(kind, name), records.model, kind, name)
        check(record)
    except CopyRefused as error:
        return Outcome(kind, name, "refused", str(error))
    except DatainfError as error:
        if error.code == "files_unavailable":
            raise
        return Outcome(kind, name, "refused", error.detail)
    return Outcome(kind, name, "recovered" if records.create(record) else "there")


def _recover_decisions(store: Store, review_id: str) -> Iterator[Outcome]:
    copies = store.review_data.copies
    text = None if copies is None else copies.read(review_id)
    if copies is None or text is None:
        return
    try:
        found = copies.restore(review_id, text)
    except ValueError as error:
        yield Outcome("decisions", review_id, "refused", f"they cannot be read: {str(error).splitlines()[0][:200]}")
        return
    yield Outcome("decisions", review_id, "there" if found is None else "recovered")
