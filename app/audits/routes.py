"""/v1/indexes/{id}/audits and /v1/audits"""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import StreamingResponse

from app.audits.export import choose_media_type, stream_table
from app.audits.rows import AuditFilter, AuditRowParameters, read_page
from app.audits.submit import submit_audit
from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.listing import WorkOf, rename
from app.http.media_types import VARY, Accept, describe_files
from app.http.pagination import check_bounds
from app.http.problems import INDEX_ERRORS, ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from app.http.table_stream import SUFFIXES
from influence.contracts.audit import Audit, AuditedRowPage, AuditRequest
from influence.contracts.common import NameChange, Page
from influence.errors import Conflict, InvalidRequest, NotAcceptable, NotFound, NoWorker
from influence.store.work import erase, with_job_state

router = APIRouter(tags=["audits"], route_class=StrictRoute, dependencies=GUARDED)

EXAMPLES = {
    "alone": {"summary": "By loss, probabilities and self-influence", "value": {}},
    "evaluation": {
        "summary": "With influence on the mean loss of rows that are trusted, shown but not counted",
        "value": {"evaluation": {"dataset_id": "ds_77aa"}, "weights": {"influence": 0}},
    },
}


@router.post(
    "/v1/indexes/{index_id}/audits",
    status_code=202,
    response_model=Audit,
    summary="Ask which labels look wrong",
    responses={
        200: {"model": Audit, "description": "The summary, which was there within `Prefer: wait=N`."},
        **describe_errors(*INDEX_ERRORS, *ROW_ERRORS, NoWorker, *WORK_ERRORS),
    },
)
async def create_audit(
    index_id: str, body: Annotated[AuditRequest, Body(openapi_examples=EXAMPLES)], submission: Submitted
) -> Response:
    """Loss, self-influence, influence and the model's own answer for every row of an index, and one suspicion of all.

    Answers 202 at once; with `Prefer: wait=N` 200 and the summary if it is there in time.
    """
    store = submission.context.store
    return await submission.respond(
        body,
        lambda: submit_audit(store, index_id, body),
        store.audits,
        needs_worker=True,
    )


@router.get("/v1/audits", response_model=Page[Audit], summary="List audits", responses=describe_errors(NotFound))
def list_audits(context: Ctx, asked: WorkOf) -> Response:
    """Newest first, without what grows with the work."""
    return asked.respond(context, context.store.audits)


@router.get("/v1/audits/{audit_id}", response_model=Audit, summary="Read an audit", responses=describe_errors(NotFound))
def read_audit(audit_id: str, context: Ctx) -> Response:
    """State, signals, figures by class and the confusion matrix, for seven days after they were made."""
    return json_response(with_job_state(context.store, context.store.audits.require(audit_id)))


@router.get(
    "/v1/audits/{audit_id}/rows",
    response_model=AuditedRowPage,
    summary="Read rows of an audit",
    responses=describe_errors(NotFound, Conflict),
)
def read_audit_rows(audit_id: str, context: Ctx, parameters: Annotated[AuditRowParameters, Query()]) -> Response:
    """Training rows with their signals and text, the most suspicious first unless `sort` and `order` say otherwise."""
    bounds = check_bounds(context, parameters)
    audit = with_job_state(context.store, context.store.audits.require(audit_id))
    return json_response(read_page(context, audit, parameters, bounds))


@router.get(
    "/v1/audits/{audit_id}/table",
    summary="Download an audit",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The rows that fit, all where nothing is asked, in their order, with metadata: CSV, or by "
            "`Accept` JSON lines or Parquet. In CSV a text that a spreadsheet would run as a formula begins with a "
            "quote.",
            "content": describe_files(SUFFIXES),
        },
        **describe_errors(NotFound, NotAcceptable, Conflict, InvalidRequest),
    },
)
def read_audit_table(audit_id: str, context: Ctx, accept: Accept, asked: Annotated[AuditFilter, Query()]) -> Response:
    """`text/csv`, `application/jsonl` or `application/vnd.apache.parquet`."""
    media_type = choose_media_type(accept)
    audit = with_job_state(context.store, context.store.audits.require(audit_id))
    pieces = stream_table(context, audit, media_type, asked)
    name = f"{audit.id}.{SUFFIXES[media_type]}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **VARY}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)


@router.patch(
    "/v1/audits/{audit_id}", response_model=Audit, summary="Rename an audit", responses=describe_errors(NotFound)
)
def change_audit(audit_id: str, body: NameChange, context: Ctx) -> Response:
    """Its id and all that it holds stay as they are."""
    return json_response(with_job_state(context.store, rename(context.store.audits, audit_id, body)))


@router.delete("/v1/audits/{audit_id}", status_code=204, summary="Delete an audit", responses=describe_errors(NotFound))
def remove_audit(audit_id: str, context: Ctx) -> Response:
    """Removes summary and rows; an audit that is still worked on is cancelled first."""
    erase(context.store, context.store.audits, audit_id)
    context.figures.forget(audit_id)
    return Response(status_code=204)
