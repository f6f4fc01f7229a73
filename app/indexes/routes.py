"""/v1/indexes"""

from fastapi import APIRouter, Response

from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.listing import WorkOf, rename
from app.http.problems import ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from app.indexes.submit import submit_index
from influence.contracts.common import NameChange, Page
from influence.contracts.index import Index, IndexRequest
from influence.errors import DoesNotFit, IndexFailed, IndexNotReady, NotFound
from influence.store.work import erase, with_job_state

router = APIRouter(prefix="/v1/indexes", tags=["indexes"], route_class=StrictRoute, dependencies=GUARDED)


@router.post(
    "",
    status_code=202,
    response_model=Index,
    summary="Build an index",
    responses={
        200: {"model": Index, "description": "The same request came before: this is its index, no work is done."},
        **describe_errors(DoesNotFit, *ROW_ERRORS, *WORK_ERRORS, IndexFailed, IndexNotReady),
    },
)
async def create_index(body: IndexRequest, submission: Submitted) -> Response:
    """Cache the gradients of every row of a data set under a checkpoint; content-addressed.

    Answers 202 with the job in `Location`. An index that failed is built again by sending the same request.
    """
    store = submission.context.store
    return await submission.respond(
        body,
        lambda: submit_index(store, body, budget_bytes=submission.context.settings.storage_budget_bytes),
        store.indexes,
    )


@router.get("", response_model=Page[Index], summary="List indexes", responses=describe_errors(NotFound))
def list_indexes(context: Ctx, asked: WorkOf) -> Response:
    """Newest first, without what grows with the work."""
    return asked.respond(context, context.store.indexes)


@router.get("/{index_id}", response_model=Index, summary="Read an index", responses=describe_errors(NotFound))
def read_index(index_id: str, context: Ctx) -> Response:
    """State, sizes, damping, fidelity, timings; the job's progress while it is built."""
    return json_response(with_job_state(context.store, context.store.indexes.require(index_id)))


@router.patch("/{index_id}", response_model=Index, summary="Rename an index", responses=describe_errors(NotFound))
def change_index(index_id: str, body: NameChange, context: Ctx) -> Response:
    """Its id and all that it holds stay as they are."""
    return json_response(with_job_state(context.store, rename(context.store.indexes, index_id, body)))


@router.delete("/{index_id}", status_code=204, summary="Delete an index", responses=describe_errors(NotFound))
def remove_index(index_id: str, context: Ctx) -> Response:
    """Removes the index with all it keeps and every query, sweep and audit of it; a build is cancelled first."""
    erase(context.store, context.store.indexes, index_id)
    return Response(status_code=204)
