"""Webhooks: who is told of what happened, and how telling went."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import Field, field_validator

from influence.contracts.common import MAX_NAME_CHARACTERS, Frozen, Json, Record, Request

EventName = Literal["job.succeeded", "job.failed", "job.cancelled", "review.updated"]
EVENTS: tuple[EventName, ...] = get_args(EventName)
#: What somebody asked for to see whether a webhook works; nobody need register for it.
TEST_EVENT: Literal["webhook.test"] = "webhook.test"
MAX_URL_CHARACTERS = 2000


class WebhookRequest(Request):
    """Tell an address of events; of all of them where none is named."""

    url: str = Field(max_length=MAX_URL_CHARACTERS, description="An http or https address, reached without redirects.")
    events: tuple[EventName, ...] = Field(EVENTS, min_length=1, description="What it is told of.")
    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARACTERS)

    @field_validator("events")
    @classmethod
    def _without_repeats(cls, events: tuple[EventName, ...]) -> tuple[EventName, ...]:
        return tuple(dict.fromkeys(events))


class Event(Frozen):
    """What happened, as webhooks are told of it: ids and states, never rows. `namespace` is whose it is, None where the
    record that `data` names says so."""

    id: str
    type: EventName | Literal["webhook.test"]
    timestamp: datetime
    namespace: str | None = None
    data: Json


class Delivery(Frozen):
    """One attempt at one event. `status` is the receiver's, null where it did not answer; `error` says why it failed,
    `next_at` when it is tried again: null where it was taken, or given up."""

    event_id: str
    type: EventName | Literal["webhook.test"]
    attempt: int
    at: datetime
    delivered: bool
    status: int | None = None
    error: str | None = None
    next_at: datetime | None = None


class Webhook(Record):
    """An address that is told of events of its namespace. `waiting` are events that it has not taken yet, `deliveries`
    the last attempts, the newest first; lists leave both out."""

    url: str
    events: tuple[EventName, ...]
    name: str | None = None
    waiting: int | None = None
    deliveries: tuple[Delivery, ...] = ()


class NewWebhook(Webhook):
    """A webhook as it is answered once: with the secret that its messages are signed with."""

    secret: str


class WebhookTest(Frozen):
    """A test message on its way: its attempts stand among the webhook's `deliveries` under this id."""

    event_id: str
