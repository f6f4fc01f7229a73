"""The loop that tells webhooks: events become messages, messages are sent until they are taken or given up."""

import asyncio
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
#: Webhooks that are told at once; one that is slow keeps no other waiting until all places are taken.
AT_ONCE = 64
_EVENTS = 100


def tell_webhooks(runtime: Runtime, pause_seconds: float) -> None:
    """Tell until the process ends, and what is being sent has been answered."""
    asyncio.run(_tell_until_stopped(runtime, pause_seconds))


async def _tell_until_stopped(runtime: Runtime, pause_seconds: float) -> None:
    allow = runtime.settings.webhook_private_addresses
    telling: set[asyncio.Task[None]] = set()
    while not runtime.stopping.is_set():
        moved = 0
        try:
            moved = await asyncio.to_thread(put_out_events, runtime.store)
            begun = await begin_telling(runtime.store, AT_ONCE - len(telling), allow_private=allow)
            moved += len(begun)
            telling |= begun
        except (StoreError, DatainfError) as error:
            log.warning("webhooks are held up", error=str(error))
        if not moved:
            await _pause(runtime, telling, pause_seconds)
        telling = {task for task in telling if not task.done()}
    await asyncio.gather(*telling)


async def _pause(runtime: Runtime, telling: set[asyncio.Task[None]], seconds: float) -> None:
    """Until anything that is being sent was answered, the process ends, or so long."""
    if telling:
        await asyncio.wait(telling, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    else:
        await asyncio.to_thread(runtime.stopping.wait, seconds)


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


async def begin_telling(store: Store, most: int, *, allow_private: bool) -> set[asyncio.Task[None]]:
    """Begin to send the next message of each webhook whose turn it is. None of the tasks raises."""
    turns = await asyncio.to_thread(store.webhook_data.take_turns, most, HOLD_SECONDS) if most else []
    return {asyncio.create_task(_tell(store, turn, allow_private=allow_private)) for turn in turns}


async def _tell(store: Store, turn: Turn, *, allow_private: bool) -> None:
    """One attempt. What the store refuses to keep of it is sent again when the turn is no longer held."""
    try:
        webhook = await asyncio.to_thread(store.webhooks.find_whole, turn.webhook_id)
        if webhook is None:
            await asyncio.to_thread(store.webhook_data.delete, turn.webhook_id)
            return
        outcome = await _attempt(webhook, turn, allow_private=allow_private)
        await asyncio.to_thread(store.webhook_data.settle, turn, outcome)
    except (StoreError, DatainfError) as error:
        log.warning("a webhook is held up", webhook_id=turn.webhook_id, error=str(error))


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
