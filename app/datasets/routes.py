"""/v1/datasets"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field

from app.checks.references import refuse_referenced
from app.datasets.accept import accept_file, accept_split
from app.datasets.export import stream_export
from app.datasets.rows.forms import TABLES
from app.datasets.rows.page import read_page
from app.datasets.rows.parameters import FilterParameters, SearchParameters
from app.http.auth import GUARDED
from app.http.bodies import describe_body, read_fields, read_json
from app.http.context import Context, Ctx
from app.http.idempotency import Accepted, IdempotentRun, OnceOnly
from app.http.listing import NamesOf, rename
from app.http.media_types import describe_files
from app.http.multipart import is_form, receive_upload
from app.http.pagination import check_bounds
from app.http.problems import UPLOAD_ERRORS, describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from app.intake.paths import resolve_allowed
from influence.contracts.common import MAX_NAME_CHARACTERS, NameChange, Page
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

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute, dependencies=GUARDED)


class DatasetForm(RequestModel):
    """Fields beside the file."""

    columns: dict[str, str] | None = Field(
        None, description="JSON object, role to column.", examples=['{"text": "body", "label": "y", "id": "uid"}']
    )
    label_names: list[str] | None = Field(None, description="JSON list, or a field each: class names in class order.")
    split: str | None = Field(None, description="Of a zip of images: train, validation or test.", examples=["train"])
    name: str | None = Field(None, max_length=MAX_NAME_CHARACTERS)


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
async def create_dataset(request: Request, context: Ctx, once: OnceOnly) -> Response:
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
            lists={"label_names"},
            max_bytes=context.settings.max_dataset_bytes,
        )
        form = read_fields(DatasetForm, upload.fields, json_fields={"columns", "label_names"})
        accept = partial(accept_file, context, upload.path, upload.filename, form)
        return await run_in_threadpool(once.run, upload.digest, accept)


async def _take_json(request: Request, context: Context, once: IdempotentRun) -> Accepted:
    body = await read_json(request, DatasetRequest)
    return await run_in_threadpool(once.run, digest_json(body.model_dump()), _source_of(body, context))


def _source_of(body: DatasetRequest, context: Context) -> Callable[[], Accepted]:
    if (body.path is None) == (body.hub_id is None):
        raise InvalidRequest("Give either 'path' or 'hub_id'.", hint="Or upload the file as a multipart form.")
    if body.path is not None:
        path = resolve_allowed(body.path, context.settings.allowed_roots)
        return partial(accept_file, context, path, path.name, body)
    if context.settings.hub_offline:
        raise InvalidRequest(OFFLINE, hint="Upload the file as a multipart form.")
    return partial(accept_split, context, body.hub_id or "", body.revision, body)


@router.get("", response_model=Page[Dataset], summary="List data sets", responses=describe_errors(NotFound))
def list_datasets(context: Ctx, asked: NamesOf) -> Response:
    """Newest first."""
    return asked.respond(context.store.datasets)


@router.get("/{dataset_id}", response_model=Dataset, summary="Read a data set", responses=describe_errors(NotFound))
def read_dataset(dataset_id: str, context: Ctx) -> Response:
    """Columns, statistics, and what looks wrong with the rows."""
    return json_response(context.store.datasets.require(dataset_id))


@router.get(
    "/{dataset_id}/rows",
    response_model=RowPage,
    summary="Read rows",
    responses=describe_errors(NotFound, InvalidRequest),
)
def read_dataset_rows(dataset_id: str, context: Ctx, parameters: Annotated[SearchParameters, Query()]) -> Response:
    """Normalised rows with what their metadata columns hold: all in their order, or those that fit, in another."""
    bounds = check_bounds(context, parameters)
    return json_response(read_page(context, context.store.datasets.require(dataset_id), parameters, bounds))


@router.get(
    "/{dataset_id}/export",
    summary="Download rows",
    response_class=StreamingResponse,
    responses={
        200: {"content": describe_files(form.media_type for form in TABLES.values())},
        **describe_errors(NotFound, InvalidRequest),
    },
)
def export_dataset(dataset_id: str, context: Ctx, parameters: Annotated[ExportParameters, Query()]) -> Response:
    """The rows that fit, in the data set's own columns. `huggingface` is Parquet by which `datasets` knows the names of
    classes. In CSV a text that a spreadsheet would run as a formula begins with a quote."""
    dataset = context.store.datasets.require(dataset_id)
    form = TABLES[parameters.format]
    pieces = stream_export(context, dataset, parameters.format, parameters.search)
    disposition = f'attachment; filename="{dataset.id}.{form.suffix}"'
    return StreamingResponse(pieces, media_type=form.media_type, headers={"Content-Disposition": disposition})


@router.patch("/{dataset_id}", response_model=Dataset, summary="Rename a data set", responses=describe_errors(NotFound))
def change_dataset(dataset_id: str, body: NameChange, context: Ctx) -> Response:
    """Its id and all that it holds stay as they are."""
    return json_response(rename(context.store.datasets, dataset_id, body))


@router.delete(
    "/{dataset_id}", status_code=204, summary="Delete a data set", responses=describe_errors(NotFound, ResourceInUse)
)
def remove_dataset(dataset_id: str, context: Ctx) -> Response:
    """Refused while an index depends on it; what may quote its rows goes with it: queries, sweeps, audits, previews,
    groups, and finished evaluations."""
    context.store.datasets.require_there(dataset_id)
    refuse_referenced(context.store, dataset_id)
    delete_dependents(context.store, dataset_id, reports_too=True)
    context.tables.forget(dataset_id)
    context.files.remove_dataset(dataset_id)
    context.store.datasets.delete(dataset_id)
    return Response(status_code=204)
