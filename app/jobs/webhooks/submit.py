"""Webhooks, from a request to a record with a secret."""

import base64
import secrets

from app.http.context import Context
from influence.contracts.common import now
from influence.contracts.curation.webhook import Webhook, WebhookRequest
from influence.digests import new_id
from influence.errors import Conflict
from influence.process.addresses import check_url

#: Of one namespace: each event is a message of every webhook.
MAX_WEBHOOKS = 20
#: As the Standard Webhooks scheme has it: 24 to 64.
_SECRET_BYTES = 32


def create_webhook(context: Context, request: WebhookRequest) -> str:
    """Keep a new webhook of the caller's namespace; answers its id. Raises InvalidRequest, Conflict."""
    check_url(request.url, allow_private=context.settings.webhook_private_addresses)
    namespace = context.namespace
    own = [known for known in context.store.webhooks.all() if known.namespace == namespace]
    if len(own) >= MAX_WEBHOOKS:
        raise Conflict(f"There are {len(own)} webhooks already.", hint="Delete one that is not needed.")
    webhook = Webhook(id=new_id("hook"), namespace=namespace, created_at=now(), **request.model_dump())
    secret = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    context.store.webhook_data.keep_secret(webhook.id, f"whsec_{secret}")
    context.store.webhooks.create(webhook)
    return webhook.id
