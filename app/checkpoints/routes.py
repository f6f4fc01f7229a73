"""/v1/checkpoints"""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from app.checkpoints.accept import Said, accept_named, accept_trained, accept_upload
from app.checkpoints.forms import ADAPTER_ERRORS, ModelForm
from app.checks.references import refuse_referenced
from app.http.auth import GUARDED
from app.http.bodies import describe_body, read_fields, read_json
from app.http.context import Context, Ctx
from app.http.idempotency import Accepted, IdempotentRun, OnceOnly
from app.http.listing import NamesOf, name_made, rename
from app.http.multipart import Upload, is_form, receive_upload
from app.http.problems import describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from influence.contracts.checkpoint import LORA_ALPHA, Checkpoint, CheckpointRequest, LoraAlpha
from influence.contracts.common import NameChange, Named, Page
from influence.digests import digest_json
from influence.errors import (
    InvalidRequest,
    NotFound,
    NothingTrainable,
    ResourceInUse,
    UnsupportedFormat,
)
from influence.store.work import delete_dependents

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"], route_class=StrictRoute, dependencies=GUARDED)


class CheckpointForm(Named, ModelForm):
    """Fields beside the adapter, or without one."""

    trainable: list[str] | None = Field(
        None,
        description="Instead of an adapter, JSON list, or a field for each: modules of a plain model that was trained, "
        "with * and ?.",
    )
    lora_alpha: LoraAlpha | None = Field(None, description=LORA_ALPHA)


@router.post(
    "",
    status_code=201,
    response_model=Checkpoint,
    summary="Send a checkpoint",
    openapi_extra=describe_body(
        CheckpointRequest,
        CheckpointForm,
        "adapter",
        "Zip of a PEFT adapter folder, or an image model's LoRA file.",
        needs_file=False,
    ),
    responses={
        200: {"model": Checkpoint, "description": "The same content came before: this is its checkpoint."},
        **describe_errors(*ADAPTER_ERRORS, NothingTrainable, UnsupportedFormat),
    },
)
async def create_checkpoint(request: Request, context: Ctx, once: OnceOnly) -> Response:
    """Adapter and base model are checked tensor by tensor; nothing is loaded and nothing pickled is read.

    A multipart form with a zip of the adapter folder, or JSON that names paths under the allowed roots or hub ids.
    A plain model that was trained itself has no adapter: `trainable` names the modules that gradients are taken of.
    """
    made = await (_take_form if is_form(request) else _take_json)(request, context, once)
    checkpoint = await run_in_threadpool(context.store.checkpoints.require, made.resource_id)
    headers = {"Location": f"/v1/checkpoints/{checkpoint.id}", **made.headers}
    return json_response(checkpoint, 201 if made.is_new else 200, headers)


async def _take_form(request: Request, context: Context, once: IdempotentRun) -> Accepted:
    with context.files.scratch() as folder:
        upload = await receive_upload(
            request,
            folder,
            file_field="adapter",
            fields=tuple(CheckpointForm.model_fields),
            lists={"label_names", "trainable"},
            max_bytes=context.settings.max_adapter_bytes,
            needs_file=False,
        )
        form = read_fields(CheckpointForm, upload.fields, json_fields={"label_names", "trainable", "lora_alpha"})

        def accept() -> Accepted:
            return name_made(context.store.checkpoints, _accept_form(context, upload, form), form.name)

        return await run_in_threadpool(once.run, upload.digest, accept)


def _accept_form(context: Context, upload: Upload, form: CheckpointForm) -> Accepted:
    if (upload.filename is None) == (form.trainable is None):
        raise InvalidRequest(
            "Send either the file 'adapter' or the field 'trainable'.",
            hint="Send the zip of the adapter; or name the trained modules of a plain model, such as "
            "'trainable=[\"classifier\"]'.",
        )
    if form.trainable is not None:
        if form.lora_alpha is not None:
            raise InvalidRequest("'lora_alpha' goes with 'adapter'.", hint="Leave it out.")
        return accept_trained(
            context,
            form.trainable,
            base_model=form.base_model,
            revision=form.revision,
            task=form.task,
            label_names=form.label_names,
        )
    said = Said(form.task, form.label_names, form.lora_alpha)
    return accept_upload(context, upload.path, base_model=form.base_model, revision=form.revision, said=said)


async def _take_json(request: Request, context: Context, once: IdempotentRun) -> Accepted:
    body = await read_json(request, CheckpointRequest)

    def accept() -> Accepted:
        return name_made(context.store.checkpoints, accept_named(context, body), body.name)

    return await run_in_threadpool(once.run, digest_json(body.model_dump()), accept)


@router.get("", response_model=Page[Checkpoint], summary="List checkpoints", responses=describe_errors(NotFound))
def list_checkpoints(context: Ctx, asked: NamesOf) -> Response:
    """Newest first."""
    return asked.respond(context.store.checkpoints)


@router.get(
    "/{checkpoint_id}", response_model=Checkpoint, summary="Read a checkpoint", responses=describe_errors(NotFound)
)
def read_checkpoint(checkpoint_id: str, context: Ctx) -> Response:
    """Base model, allow-listed adapter configuration, task, labels, number of trainable parameters."""
    return json_response(context.store.checkpoints.require(checkpoint_id))


@router.patch(
    "/{checkpoint_id}", response_model=Checkpoint, summary="Rename a checkpoint", responses=describe_errors(NotFound)
)
def change_checkpoint(checkpoint_id: str, body: NameChange, context: Ctx) -> Response:
    """Its id and all that it holds stay as they are."""
    return json_response(rename(context.store.checkpoints, checkpoint_id, body))


@router.delete(
    "/{checkpoint_id}",
    status_code=204,
    summary="Delete a checkpoint",
    responses=describe_errors(NotFound, ResourceInUse),
)
def remove_checkpoint(checkpoint_id: str, context: Ctx) -> Response:
    """Refused while an index depends on it; previews by it go with it.

    The adapter's files go with the last checkpoint that has them.
    """
    context.store.checkpoints.require_there(checkpoint_id)
    checkpoint = context.store.checkpoints.find_whole(checkpoint_id)
    refuse_referenced(context.store, checkpoint_id)
    delete_dependents(context.store, checkpoint_id)
    if checkpoint is not None and checkpoint.adapter_digest is not None:
        others = (other for other in context.store.whole.checkpoints.each() if other.id != checkpoint_id)
        if all(other.adapter_digest != checkpoint.adapter_digest for other in others):
            context.files.remove_adapter(checkpoint.adapter_digest)
    context.store.checkpoints.delete(checkpoint_id)
    return Response(status_code=204)
