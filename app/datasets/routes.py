"""/v1/datasets"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field

from app.checks.references import refuse_referenced
from app.datasets.export import stream_export
from app.datasets.record import keep_record
from app.datasets.rows.forms import TABLES
from app.datasets.rows.page import read_page
from app.datasets.rows.parameters import FilterParameters, SearchParameters
from app.http.auth import Caller
from app.http.bodies import describe_body, read_fields, read_json
from app.http.context import Context, Ctx
from app.http.idempotency import Accepted, IdempotentRun, OnceOnly
from app.http.multipart import is_form, receive_upload
from app.http.pagination import PageOf, check_bounds
from app.http.problems import UPLOAD_ERRORS, describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from app.intake.paths import resolve_allowed
from influence.contracts.common import Page
from influence.contracts.common import Request as RequestModel
from influence.contracts.dataset import Dataset, DatasetRequest, RowPage
from influence.digests import digest_json
from influence.errors import (
    BrokenRow,
    ColumnsAmbiguous,
    ColumnsUnmatched,
    EmptyFile,
    IdempotencyConflict,
    InvalidRequest,
    LabelOutOfRange,
    LabelUnknown,
    NotFound,
    PathNotAllowed,
    ResourceInUse,
    RowsRefused,
    UnreadableFile,
    UnsupportedFormat,
)
from influence.settings import OFFLINE
from influence.store.work import delete_dependents

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute)


class DatasetForm(RequestModel):
    """Fields beside the file."""

    columns: dict[str, str] | None = Field(
        None, description="JSON object, role to column.", examples=['{"text": "body", "label": "y", "id": "uid"}']
    )
    label_names: list[str] | None = Field(None, description="JSON list: class names in the order of the classes.")
    split: str | None = Field(None, description="Of a zip of images: train, validation or test.", examples=["train"])
    name: str | None = None


class ExportParameters(FilterParameters):
    """In which form, and which rows."""

    format: Literal["jsonl", "csv", "parquet", "huggingface"] = "jsonl"


@router.post(
    "",
    status_code=201,
    response_model=Dataset,
    summary="Send a data set",
    openapi_extra=describe_body(
        DatasetRequest,
        DatasetForm,
        "file",
        "JSONL, a JSON array, CSV, TSV or Parquet; text files may be gzip or zstd. Or a zip of images in folders.",
    ),
    responses={
        200: {"model": Dataset, "description": "The same rows came before: this is their data set."},
        **describe_errors(
            *UPLOAD_ERRORS,
            EmptyFile,
            UnreadableFile,
            BrokenRow,
            UnsupportedFormat,
            ColumnsUnmatched,
            ColumnsAmbiguous,
            RowsRefused,
            LabelOutOfRange,
            LabelUnknown,
            PathNotAllowed,
            NotFound,
            IdempotencyConflict,
        ),
    },
)
async def create_dataset(request: Request, context: Ctx, caller: Caller, once: OnceOnly) -> Response:
    """Rows are normalised, kept in their order and addressed by their content.

    A multipart form with the file, or JSON that names a path under the allowed roots or a hub id.
    """
    made = await (_take_form if is_form(request) else _take_json)(request, context, once)
    dataset = await run_in_threadpool(context.store.datasets.require, made.resource_id)
    headers = {"Location": f"/v1/datasets/{dataset.id}", **made.headers}
    return json_response(dataset, 201 if made.is_new else 200, headers)


async def _take_form(request: Request, context: Context, once: IdempotentRun) -> Accepted:
    with context.files.scratch() as folder:
        upload = await receive_upload(
            request,
            folder,
            file_field="file",
            fields=tuple(DatasetForm.model_fields),
            max_bytes=context.settings.max_dataset_bytes,
        )
        form = read_fields(DatasetForm, upload.fields, json_fields={"columns", "label_names"})
        source = {"source_path": upload.path, "filename": upload.filename, **form.model_dump()}
        return await run_in_threadpool(once.run, upload.digest, lambda: _accept(context, source))


async def _take_json(request: Request, context: Context, once: IdempotentRun) -> Accepted:
    body = await read_json(request, DatasetRequest)
    source = body.model_dump(exclude={"path", "hub_id", "revision"})
    if (body.path is None) == (body.hub_id is None):
        raise InvalidRequest("Give either 'path' or 'hub_id'.", hint="Or upload the file as a multipart form.")
    if body.path is not None:
        path = resolve_allowed(body.path, context.settings.allowed_roots)
        source |= {"source_path": path, "filename": path.name}
    elif context.settings.hub_offline:
        raise InvalidRequest(OFFLINE, hint="Upload the file as a multipart form.")
    else:
        source |= {"hub_id": body.hub_id, "revision": body.revision}
    return await run_in_threadpool(once.run, digest_json(body.model_dump()), lambda: _accept(context, source))


def _accept(context: Context, source: dict[str, Any]) -> Accepted:
    # Loading the table readers (pyarrow, the hub client) takes longer than the API may take to start.
    from app.intake.datasets import accept_dataset, accept_hub_dataset
    from app.intake.tables.limits import TableLimits

    settings = context.settings
    limits = TableLimits(max_bytes=settings.max_dataset_bytes, max_rows=settings.max_rows, images=settings.image_limits)
    accept = accept_hub_dataset if "hub_id" in source else accept_dataset
    dataset = accept(**source, limits=limits, destination_root=context.files.datasets)
    return keep_record(context.store, dataset, is_named=source.get("name") is not None)


@router.get("", response_model=Page[Dataset], summary="List data sets", responses=describe_errors(NotFound))
def list_datasets(context: Ctx, caller: Caller, page: PageOf) -> Response:
    """Newest first."""
    return json_response(context.store.datasets.page(limit=page.length, after=page.after))


@router.get("/{dataset_id}", response_model=Dataset, summary="Read a data set", responses=describe_errors(NotFound))
def read_dataset(dataset_id: str, context: Ctx, caller: Caller) -> Response:
    """Columns, statistics, and what looks wrong with the rows."""
    return json_response(context.store.datasets.require(dataset_id))


@router.get(
    "/{dataset_id}/rows",
    response_model=RowPage,
    summary="Read rows",
    responses=describe_errors(NotFound, InvalidRequest),
)
def read_rows(
    dataset_id: str, context: Ctx, caller: Caller, parameters: Annotated[SearchParameters, Query()]
) -> Response:
    """Normalised rows with what their metadata columns hold: all in their order, or those that fit, in another."""
    bounds = check_bounds(context, parameters)
    return json_response(read_page(context, context.store.datasets.require(dataset_id), parameters, bounds))


@router.get(
    "/{dataset_id}/export",
    summary="Download rows",
    response_class=StreamingResponse,
    responses={
        200: {"content": {form.media_type: {"schema": {"type": "string"}} for form in TABLES.values()}},
        **describe_errors(NotFound, InvalidRequest),
    },
)
def export(dataset_id: str, context: Ctx, caller: Caller, parameters: Annotated[ExportParameters, Query()]) -> Response:
    """The rows that fit, in the data set's own columns. `huggingface` is Parquet by which `datasets` knows the names of
    classes. In CSV a text that a spreadsheet would run as a formula begins with a quote."""
    dataset = context.store.datasets.require(dataset_id)
    form = TABLES[parameters.format]
    pieces = stream_export(context, dataset, parameters.format, parameters.search)
    disposition = f'attachment; filename="{dataset.id}.{form.suffix}"'
    return StreamingResponse(pieces, media_type=form.media_type, headers={"Content-Disposition": disposition})


@router.delete(
    "/{dataset_id}", status_code=204, summary="Delete a data set", responses=describe_errors(NotFound, ResourceInUse)
)
def remove_dataset(dataset_id: str, context: Ctx, caller: Caller) -> Response:
    """Refused while an index depends on it; what may quote its rows goes with it: queries, sweeps, audits, previews,
    groups, and finished evaluations."""
    context.store.datasets.require_there(dataset_id)
    refuse_referenced(context.store, dataset_id)
    delete_dependents(context.store, dataset_id, reports_too=True)
    context.store.datasets.delete(dataset_id)
    context.tables.forget(dataset_id)
    context.files.remove_dataset(dataset_id)
    return Response(status_code=204)
