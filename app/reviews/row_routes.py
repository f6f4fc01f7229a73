"""/v1/reviews/{id}: the rows of a review, to look at, to hand over and to take back"""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field

from app.datasets.rows.parameters import FilterParameters
from app.http.auth import GUARDED
from app.http.bodies import read_fields
from app.http.context import Ctx
from app.http.media_types import describe_files
from app.http.multipart import receive_upload
from app.http.pagination import check_bounds
from app.http.problems import UPLOAD_ERRORS, describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from app.reviews.export import FORMS, stream_export
from app.reviews.handback import take_back
from app.reviews.routes import DECISION_ERRORS
from app.reviews.rows import QueueParameters, read_queue
from influence.contracts.common import Request as RequestModel
from influence.contracts.curation.review import DecisionsAnswer, ExportMode, ReviewedRowPage, Reviewer
from influence.errors import Conflict, InvalidRequest, NotFound, UnreadableFile

router = APIRouter(prefix="/v1/reviews", tags=["reviews"], route_class=StrictRoute, dependencies=GUARDED)

#: Decisions that come back are small; a file over this is something else.
MAX_HANDBACK_BYTES = 64 << 20


class ExportParameters(FilterParameters):
    """In which form, and which rows: `cleaned` those that stay, with their new labels; `annotated` all, as they were,
    with the decisions beside them; `removed` those that go. `where` and `q` leave out the rows that do not fit."""

    format: str = Field("jsonl", pattern=f"^({'|'.join(map(re.escape, FORMS))})$")
    mode: ExportMode = "cleaned"


class HandbackForm(RequestModel):
    """Fields beside the file."""

    by: Reviewer | None = None


@router.get(
    "/{review_id}/rows",
    response_model=ReviewedRowPage,
    summary="Read the rows to review",
    responses=describe_errors(NotFound, InvalidRequest, Conflict),
)
def read_review_rows(review_id: str, context: Ctx, parameters: Annotated[QueueParameters, Query()]) -> Response:
    """Rows of the review's audit, the most suspicious first, else of its data set, each with what was decided.

    `where` also knows the audit's figures and `action`: {"column": "action", "op": "is_null"} asks for what is left.
    `label`, `predicted`, `disagree` and `min_suspicion` ask as they do of an audit, and are refused without one.
    """
    bounds = check_bounds(context, parameters)
    return json_response(read_queue(context, context.store.reviews.require(review_id), parameters, bounds))


@router.get(
    "/{review_id}/export",
    summary="Download reviewed rows",
    response_class=StreamingResponse,
    responses={
        200: {"content": describe_files(form.media_type for form in FORMS.values())},
        **describe_errors(NotFound, InvalidRequest, Conflict),
    },
)
def export_review(review_id: str, context: Ctx, parameters: Annotated[ExportParameters, Query()]) -> Response:
    """In the data set's own columns. In CSV a text that a spreadsheet would run as a formula begins with a quote."""
    review = context.store.reviews.require(review_id)
    form = FORMS[parameters.format]
    pieces = stream_export(context, review, parameters.format, parameters.mode, parameters.search)
    disposition = f'attachment; filename="{review.id}-{parameters.mode}.{form.suffix}"'
    return StreamingResponse(pieces, media_type=form.media_type, headers={"Content-Disposition": disposition})


@router.post(
    "/{review_id}/import",
    response_model=DecisionsAnswer,
    summary="Take decisions back from a file",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            "by": {"type": "string", "maxLength": 100},
                        },
                        "required": ["file"],
                    }
                }
            },
        }
    },
    responses=describe_errors(*DECISION_ERRORS, *UPLOAD_ERRORS, UnreadableFile),
)
async def import_decisions(review_id: str, request: Request, context: Ctx) -> Response:
    """Label Studio's JSON export, Argilla's `records.json`, or CSV or JSON lines with `row_index` (or `row_id`) and
    `action`.

    `reviewed_label` and `note` are read where they are there. All decisions of the file are taken, or none.
    """
    review = await run_in_threadpool(context.store.reviews.require, review_id)
    with context.files.scratch() as folder:
        upload = await receive_upload(request, folder, file_field="file", fields=("by",), max_bytes=MAX_HANDBACK_BYTES)
        form = read_fields(HandbackForm, upload.fields, json_fields=())
        answer = await run_in_threadpool(take_back, context.store, context.files, review, upload.path, form.by)
    return json_response(answer)
