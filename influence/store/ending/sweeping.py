"""Removes what has ended its life: the data of a record, then the record, then its line among the lifetimes.

Cut off anywhere it is done again; done by two at once it is done once.
"""

from influence.store import keys
from influence.store.ending.lifetimes import ANSWER_TO_KEY, JOB
from influence.store.store import Store

#: Removed in one go at most, so that whoever sweeps is not kept from its other duties.
MOST_AT_ONCE = 500


def remove_ended(store: Store, *, now: float | None = None) -> int:
    """Remove what is due at `now` (seconds since 1970; this moment when left out); answers how much."""
    due = store.lifetimes.due(MOST_AT_ONCE, now=now)
    for line in due:
        kind, _, name = line.decode(errors="replace").partition(" ")
        _remove(store, kind, name)
    if due:
        store.lifetimes.forget(due)
    return len(due)


def _remove(store: Store, kind: str, name: str) -> None:
    if kind == ANSWER_TO_KEY:
        store.idempotency.abandon(name)
    elif not keys.is_id(name):
        return
    elif kind == JOB:
        store.jobs.delete(name)
    elif (records := store.work.get(kind)) is not None:
        records.delete_data(name)
        records.delete(name)
