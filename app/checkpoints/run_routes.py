"""/v1/runs"""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.checkpoints.accept_run import accept_run_folder, accept_run_upload
from app.checkpoints.forms import ADAPTER_ERRORS, ModelForm
from app.http.auth import GUARDED
from app.http.bodies import describe_body, read_fields, read_json
from app.http.context import Context, Ctx
from app.http.idempotency import Accepted, IdempotentRun, OnceOnly
from app.http.multipart import is_form, receive_upload
from app.http.pagination import PageOf
from app.http.problems import describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from influence.contracts.checkpoint import Run, RunRequest
from influence.contracts.common import Page
from influence.digests import digest_json
from influence.errors import InvalidRequest, NotFound

router = APIRouter(prefix="/v1/runs", tags=["checkpoints"], route_class=StrictRoute, dependencies=GUARDED)


@router.post(
    "",
    status_code=201,
    response_model=Run,
    summary="Send the checkpoints of a run",
    openapi_extra=describe_body(RunRequest, ModelForm, "run", "Zip of the folder that a trainer wrote."),
    responses={
        200: {"model": Run, "description": "The same content came before: this is its run."},
        **describe_errors(*ADAPTER_ERRORS, InvalidRequest),
    },
)
async def create_run(request: Request, context: Ctx, once: OnceOnly) -> Response:
    """Every folder called checkpoint-<step> or epoch_<number> becomes a checkpoint, weighed by the rates of the
    trainer's log.

    `POST /v1/indexes` with the run's id builds an index of each, and a query with it sums over them.
    """
    made = await (_take_form if is_form(request) else _take_json)(request, context, once)
    run = await run_in_threadpool(context.store.runs.require, made.resource_id)
    headers = {"Location": f"/v1/runs/{run.id}", **made.headers}
    return json_response(run, 201 if made.is_new else 200, headers)


async def _take_form(request: Request, context: Context, once: IdempotentRun) -> Accepted:
    with context.files.scratch() as folder:
        upload = await receive_upload(
            request,
            folder,
            file_field="run",
            fields=tuple(ModelForm.model_fields),
            lists={"label_names"},
            max_bytes=context.settings.max_adapter_bytes,
        )
        form = read_fields(ModelForm, upload.fields, json_fields={"label_names"})
        return await run_in_threadpool(
            once.run, upload.digest, lambda: accept_run_upload(context, upload.path, **form.model_dump())
        )


async def _take_json(request: Request, context: Context, once: IdempotentRun) -> Accepted:
    body = await read_json(request, RunRequest)
    return await run_in_threadpool(once.run, digest_json(body.model_dump()), lambda: accept_run_folder(context, body))


@router.get("", response_model=Page[Run], summary="List runs", responses=describe_errors(NotFound))
def list_runs(context: Ctx, page: PageOf) -> Response:
    """Newest first."""
    return json_response(context.store.runs.page(limit=page.length, after=page.after))


@router.get("/{run_id}", response_model=Run, summary="Read a run", responses=describe_errors(NotFound))
def read_run(run_id: str, context: Ctx) -> Response:
    """Its checkpoints in order, each with its step and weight, and where the weights are from."""
    return json_response(context.store.runs.require(run_id))


@router.delete("/{run_id}", status_code=204, summary="Delete a run", responses=describe_errors(NotFound))
def remove_run(run_id: str, context: Ctx) -> Response:
    """The checkpoints and their indexes stay."""
    context.store.runs.require_there(run_id)
    context.store.runs.delete(run_id)
    return Response(status_code=204)
