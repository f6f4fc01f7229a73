"""/v1/checkpoints"""

from fastapi import APIRouter, Response

from app.answers import json_response
from app.auth import Caller
from app.context import Ctx
from app.pages import PageOf
from app.problems import describe_errors
from app.strict import StrictRoute
from app.usage import refuse_used
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import Page
from influence.errors import NotFound, ResourceInUse

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"], route_class=StrictRoute)


@router.get("", response_model=Page[Checkpoint], summary="List checkpoints", responses=describe_errors(NotFound))
def list_checkpoints(context: Ctx, caller: Caller, page: PageOf) -> Response:
    """Newest first."""
    return json_response(context.store.checkpoints.page(limit=page.length, after=page.after))


@router.get(
    "/{checkpoint_id}", response_model=Checkpoint, summary="Read a checkpoint", responses=describe_errors(NotFound)
)
def read_checkpoint(checkpoint_id: str, context: Ctx, caller: Caller) -> Response:
    """Base model, allow-listed adapter configuration, task, labels, number of trainable parameters."""
    return json_response(context.store.checkpoints.require(checkpoint_id))


@router.delete(
    "/{checkpoint_id}", status_code=204, summary="Delete a checkpoint",
    responses=describe_errors(NotFound, ResourceInUse),
)  # fmt: skip
def remove_checkpoint(checkpoint_id: str, context: Ctx, caller: Caller) -> Response:
    """Refused while an index stands on it. The adapter's files go with the last checkpoint that has them."""
    checkpoint = context.store.checkpoints.require(checkpoint_id)
    refuse_used(context.store, checkpoint_id)
    context.store.checkpoints.delete(checkpoint_id)
    if all(other.adapter_digest != checkpoint.adapter_digest for other in context.store.checkpoints.all()):
        context.files.remove(context.files.adapter(checkpoint.adapter_digest))
    return Response(status_code=204)
