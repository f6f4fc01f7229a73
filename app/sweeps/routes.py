"""/v1/indexes/{id}/sweeps and /v1/sweeps"""

from fastapi import APIRouter, Response

from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.listing import WorkOf
from app.http.problems import INDEX_ERRORS, ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from app.sweeps.submit import submit_sweep
from influence.contracts.common import Page
from influence.contracts.sweep import Sweep, SweepRequest
from influence.errors import BrokenRow, ColumnsAmbiguous, ColumnsUnmatched, NotFound, NoWorker
from influence.store.work import erase, with_job_state

router = APIRouter(tags=["sweeps"], route_class=StrictRoute, dependencies=GUARDED)


@router.post(
    "/v1/indexes/{index_id}/sweeps",
    status_code=202,
    response_model=Sweep,
    summary="Ask how much rankings depend on damping",
    responses={
        200: {"model": Sweep, "description": "The result, which was there within `Prefer: wait=N`."},
        **describe_errors(
            *INDEX_ERRORS, *ROW_ERRORS, ColumnsUnmatched, ColumnsAmbiguous, BrokenRow, NoWorker, *WORK_ERRORS
        ),
    },
)
async def create_sweep(index_id: str, body: SweepRequest, submission: Submitted) -> Response:
    """Score test points at several dampings of one method and compare the rankings with each other and the default.

    Answers 202 at once; with `Prefer: wait=N` 200 and the result if it is there in time.
    """
    store, limits = submission.context.store, submission.context.settings.image_limits
    return await submission.respond(
        body,
        lambda: submit_sweep(store, index_id, body, image_limits=limits),
        store.sweeps,
        needs_worker=True,
    )


@router.get("/v1/sweeps", response_model=Page[Sweep], summary="List sweeps", responses=describe_errors(NotFound))
def list_sweeps(context: Ctx, asked: WorkOf) -> Response:
    """Newest first, without results; those of the last seven days."""
    return asked.respond(context, context.store.sweeps)


@router.get("/v1/sweeps/{sweep_id}", response_model=Sweep, summary="Read a sweep", responses=describe_errors(NotFound))
def read_sweep(sweep_id: str, context: Ctx) -> Response:
    """The result again, for seven days after it was made."""
    return json_response(with_job_state(context.store, context.store.sweeps.require(sweep_id)))


@router.delete("/v1/sweeps/{sweep_id}", status_code=204, summary="Delete a sweep", responses=describe_errors(NotFound))
def remove_sweep(sweep_id: str, context: Ctx) -> Response:
    """Removes the result; a sweep that is still worked on is cancelled first."""
    erase(context.store, context.store.sweeps, sweep_id)
    return Response(status_code=204)
