"""/v1/datasets/{id}/preview and /v1/previews"""

from fastapi import APIRouter, Response

from app.datasets.preview_submit import submit_preview
from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.problems import ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from influence.contracts.preview import Preview, PreviewRequest
from influence.errors import NotFound, NoWorker
from influence.store.work import erase, with_job_state

router = APIRouter(tags=["datasets"], route_class=StrictRoute, dependencies=GUARDED)

#: People preview in order to look: without a preference the call waits.
DEFAULT_WAIT_SECONDS = 10.0


@router.post(
    "/v1/datasets/{dataset_id}/preview",
    response_model=Preview,
    summary="See rows as the model reads them",
    responses={
        202: {"model": Preview, "description": "Not there in time: `Location` names the job."},
        **describe_errors(*ROW_ERRORS, NoWorker, *WORK_ERRORS),
    },
)
async def create_preview(dataset_id: str, body: PreviewRequest, submission: Submitted) -> Response:
    """Rendered text, tokens, and which of them carry loss, for five rows; nothing is built.

    Waits ten seconds for the result unless `Prefer: wait=N` says otherwise.
    """
    store = submission.context.store
    return await submission.respond(
        body,
        lambda: submit_preview(store, dataset_id, body),
        store.previews,
        needs_worker=True,
        default_wait_seconds=DEFAULT_WAIT_SECONDS,
    )


@router.get(
    "/v1/previews/{preview_id}", response_model=Preview, summary="Read a preview", responses=describe_errors(NotFound)
)
def read_preview(preview_id: str, context: Ctx) -> Response:
    """The rows again, for seven days after they were made."""
    return json_response(with_job_state(context.store, context.store.previews.require(preview_id)))


@router.delete(
    "/v1/previews/{preview_id}", status_code=204, summary="Delete a preview", responses=describe_errors(NotFound)
)
def remove_preview(preview_id: str, context: Ctx) -> Response:
    """Removes the rows; a preview that is still worked on is cancelled first."""
    erase(context.store, context.store.previews, preview_id)
    return Response(status_code=204)
