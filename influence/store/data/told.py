"""An event as it is kept with what happened, in the same step, until webhooks are told of it."""

from typing import Any

from influence.contracts.common import Json, now
from influence.contracts.curation.webhook import Event
from influence.digests import new_id


def make_event(kind: Any, data: Json, namespace: str | None = None) -> Event:
    """An event of a kind, such as `job.succeeded`, with a new id: receivers tell repetitions by it."""
    return Event(id=new_id("msg"), type=kind, timestamp=now(), namespace=namespace, data=data)
