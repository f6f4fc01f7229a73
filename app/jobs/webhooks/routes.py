"""/v1/webhooks"""

from fastapi import APIRouter, Response

from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.idempotency import Accepted, OnceOnly
from app.http.listing import NamesOf
from app.http.problems import describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from app.jobs.webhooks.submit import create_webhook
from influence.contracts.common import Page
from influence.contracts.curation.webhook import TEST_EVENT, NewWebhook, Webhook, WebhookRequest, WebhookTest
from influence.digests import digest_json
from influence.errors import Conflict, IdempotencyConflict, NotFound
from influence.store.data.told import make_event

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=StrictRoute, dependencies=GUARDED)


@router.post(
    "",
    status_code=201,
    response_model=NewWebhook,
    summary="Register a webhook",
    responses=describe_errors(Conflict, IdempotencyConflict),
)
def register_webhook(body: WebhookRequest, context: Ctx, once: OnceOnly) -> Response:
    """Its address is told of events by signed POST requests. This answer alone has the secret to verify them with."""
    made = once.run(digest_json(body.model_dump(mode="json")), lambda: Accepted(create_webhook(context, body)))
    webhook = context.store.webhooks.require(made.resource_id)
    shown = NewWebhook(**webhook.model_dump(), secret=context.store.webhook_data.secret(webhook.id) or "")
    return json_response(shown, 201, {"Location": f"/v1/webhooks/{webhook.id}", **made.headers})


@router.get("", response_model=Page[Webhook], summary="List webhooks", responses=describe_errors(NotFound))
def list_webhooks(context: Ctx, asked: NamesOf) -> Response:
    """Newest first, without their deliveries."""
    return asked.respond(context.store.webhooks)


@router.get("/{webhook_id}", response_model=Webhook, summary="Read a webhook", responses=describe_errors(NotFound))
def read_webhook(webhook_id: str, context: Ctx) -> Response:
    """With how its last 20 attempts went, the newest first, and how many events it has not taken yet."""
    webhook, data = context.store.webhooks.require(webhook_id), context.store.webhook_data
    known = {"waiting": data.waiting(webhook_id), "deliveries": data.deliveries(webhook_id)}
    return json_response(webhook.model_copy(update=known))


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=WebhookTest,
    summary="Test a webhook",
    responses=describe_errors(NotFound),
)
def try_webhook(webhook_id: str, context: Ctx) -> Response:
    """Sends a `webhook.test` before all that waits; how it went stands among the webhook's deliveries. One that was
    left alone after failures is told the rest, too, once it takes this."""
    webhook = context.store.webhooks.require(webhook_id)
    event = make_event(TEST_EVENT, {"webhook_id": webhook_id}, webhook.namespace)
    context.store.webhook_data.put_first(webhook_id, event)
    return json_response(WebhookTest(event_id=event.id), 202)


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook", responses=describe_errors(NotFound))
def remove_webhook(webhook_id: str, context: Ctx) -> Response:
    """What it was not told yet is forgotten."""
    context.store.webhooks.require_there(webhook_id)
    context.store.webhooks.delete(webhook_id)
    context.store.webhook_data.delete(webhook_id)
    return Response(status_code=204)
