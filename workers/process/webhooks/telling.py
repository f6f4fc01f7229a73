"""The loop that tells webhooks: events become messages, messages are sent until they are taken or given up."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from influence.contracts.common import now
from influence.contracts.curation.webhook import Delivery, Event, Webhook
from influence.errors import DatainfError, NotFound
from influence.store.connections import StoreError
from influence.store.data.webhooks import Turn
from influence.store.store import Store
from workers.process.webhooks.sending import NotTaken, send_event
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: How long whoever takes a turn holds it; longer than an attempt can last, with a resolver that hangs.
HOLD_SECONDS = 120.0
#: Webhooks that are told at once: one that is slow does not keep the others waiting.
_AT_ONCE = 16
_EVENTS = 100


def tell_webhooks(runtime: Runtime, pause_seconds: float) -> None:
    """Tell until the process ends."""
    allow = runtime.settings.webhook_private_addresses
    while not runtime.stopping.is_set():
        try:
            if put_out_events(runtime.store) + tell_next(runtime.store, allow_private=allow):
                continue
        except (StoreError, DatainfError) as error:
            log.warning("webhooks are held up", error=str(error))
        runtime.stopping.wait(pause_seconds)


def put_out_events(store: Store) -> int:
    """Make a message of every event for each webhook that is told of it; answers how many events."""
    kept = store.webhook_data.events(_EVENTS)
    webhooks = store.webhooks.all() if kept else []
    for text in kept:
        try:
            event = _complete(store, Event.model_validate_json(text))
        except (ValueError, KeyError, NotFound) as error:
            log.error("an event cannot be read", error=str(error)[:200])
            event = None
        store.webhook_data.put_out(text, event, [hook.id for hook in webhooks if event and _hears(hook, event)])
    return len(kept)


def _complete(store: Store, event: Event) -> Event | None:
    """The event with its namespace, or None where nobody can be told whose it is."""
    if event.namespace is not None:
        return event
    review = store.reviews.find_whole(event.data["review_id"])
    if review is None:
        return None
    data = {**event.data, "dataset_id": review.dataset_id}
    return event.model_copy(update={"namespace": review.namespace, "data": data})


def _hears(webhook: Webhook, event: Event) -> bool:
    return webhook.namespace == event.namespace and event.type in webhook.events


def tell_next(store: Store, *, allow_private: bool) -> int:
    """Send the next message of each webhook whose turn it is; answers how many messages were sent."""
    turns = store.webhook_data.take_turns(_AT_ONCE, HOLD_SECONDS)
    if turns:
        asyncio.run(_tell_all(store, turns, allow_private=allow_private))
    return len(turns)


async def _tell_all(store: Store, turns: Sequence[Turn], *, allow_private: bool) -> None:
    await asyncio.gather(*(_tell(store, turn, allow_private=allow_private) for turn in turns))


async def _tell(store: Store, turn: Turn, *, allow_private: bool) -> None:
    webhook = await asyncio.to_thread(store.webhooks.find_whole, turn.webhook_id)
    if webhook is None:
        await asyncio.to_thread(store.webhook_data.delete, turn.webhook_id)
    else:
        outcome = await _attempt(webhook, turn, allow_private=allow_private)
        await asyncio.to_thread(store.webhook_data.settle, turn, outcome)


async def _attempt(webhook: Webhook, turn: Turn, *, allow_private: bool) -> Delivery:
    event, begun = turn.event, now()
    status, error, next_at = None, None, None
    try:
        status = await send_event(webhook.url, turn.secret, event, allow_private=allow_private)
    except NotTaken as refusal:
        status, error = refusal.status, str(refusal)
        next_at = None if turn.is_last else datetime.fromtimestamp(turn.again_at, UTC)
        log.warning("a webhook was not told", webhook_id=webhook.id, reason=error, given_up=turn.is_last)
    return Delivery(
        event_id=event.id,
        type=event.type,
        attempt=turn.attempt,
        at=begun,
        delivered=error is None,
        status=status,
        error=error,
        next_at=next_at,
    )
