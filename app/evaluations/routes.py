"""/v1/evaluations"""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.evaluations.cost import foresee_cost
from app.evaluations.submit import require_report, submit_evaluation
from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.listing import WorkOf, rename
from app.http.media_types import JSON_MEDIA_TYPE, MARKDOWN_MEDIA_TYPE, VARY, Accept, negotiate
from app.http.problems import INDEX_ERRORS, ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from influence.contracts.common import NameChange, Page
from influence.contracts.curation.groups import Cost
from influence.contracts.evaluation.experiment import EvaluationRequest
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Report
from influence.errors import BaseModelNotFound, Conflict, NotAcceptable, NotFound, PathNotAllowed
from influence.reporting.markdown import to_markdown
from influence.store.work import erase, with_job_state

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"], route_class=StrictRoute, dependencies=GUARDED)

PICTURE_MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
#: A picture is only ever a picture, also for a browser that opens it by itself.
_PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
EXAMPLES = {
    "lds": {
        "summary": "Do an index's scores predict what training on half of the rows does?",
        "value": {"kind": "lds", "index_id": "idx_3f1c", "subsets": 48},
    },
    "mislabelled": {
        "summary": "Which method finds wrong labels in rows like these?",
        "value": {"kind": "mislabelled", "dataset_id": "ds_77aa", "flip_share": 0.2, "seeds": [0, 1, 2]},
    },
    "class-attribution": {
        "summary": "Do generations point at training rows of their own class?",
        "value": {"kind": "class-attribution", "dataset_id": "ds_5b20", "methods": [{"method": "datainf"}]},
    },
}


@router.post(
    "",
    status_code=202,
    response_model=Evaluation,
    summary="Run an evaluation: retrain to see which scores to trust",
    responses={
        200: {"model": Evaluation, "description": "The report, which was there within `Prefer: wait=N`."},
        **describe_errors(*INDEX_ERRORS, *ROW_ERRORS, BaseModelNotFound, PathNotAllowed, *WORK_ERRORS),
    },
)
async def create_evaluation(
    body: Annotated[EvaluationRequest, Body(openapi_examples=EXAMPLES)], submission: Submitted
) -> Response:
    """Train models on rows, some left out or mislabelled on purpose, and compare what happens with the scores.

    Minutes to hours of work; answers 202 with the job in `Location`. One that failed is sent again as it was.
    """
    context = submission.context
    return await submission.respond(body, lambda: submit_evaluation(context, body), context.store.evaluations)


@router.post(
    "/cost",
    response_model=Cost,
    summary="Say what an evaluation would take",
    responses=describe_errors(NotFound, *INDEX_ERRORS, *ROW_ERRORS, BaseModelNotFound, PathNotAllowed),
)
def foresee_evaluation(body: Annotated[EvaluationRequest, Body(openapi_examples=EXAMPLES)], context: Ctx) -> Response:
    """Trainings, steps and seconds of what `POST /v1/evaluations` would do with the same body, which is refused alike.

    Nothing is begun or kept. Seconds are of the trainings alone, and null where no index says how fast rows are.
    """
    return json_response(foresee_cost(context, body))


@router.get("", response_model=Page[Evaluation], summary="List evaluations", responses=describe_errors(NotFound))
def list_evaluations(context: Ctx, asked: WorkOf) -> Response:
    """Newest first, without what grows with the work."""
    return asked.respond(context, context.store.evaluations)


@router.get(
    "/{evaluation_id}", response_model=Evaluation, summary="Read an evaluation", responses=describe_errors(NotFound)
)
def read_evaluation(evaluation_id: str, context: Ctx) -> Response:
    """State, progress, what was asked, and the report once it is there."""
    return json_response(with_job_state(context.store, context.store.evaluations.require(evaluation_id)))


@router.patch(
    "/{evaluation_id}", response_model=Evaluation, summary="Rename an evaluation", responses=describe_errors(NotFound)
)
def change_evaluation(evaluation_id: str, body: NameChange, context: Ctx) -> Response:
    """Its id and all that it holds stay as they are."""
    return json_response(with_job_state(context.store, rename(context.store.evaluations, evaluation_id, body)))


@router.delete("/{evaluation_id}", status_code=204, summary="Delete an evaluation", responses=describe_errors(NotFound))
def remove_evaluation(evaluation_id: str, context: Ctx) -> Response:
    """Removes the evaluation with all it found; work at hand is cancelled first."""
    erase(context.store, context.store.evaluations, evaluation_id)
    return Response(status_code=204)


@router.get(
    "/{evaluation_id}/report",
    response_model=Report,
    summary="Read the report",
    responses={
        200: {
            "description": "Tables, pictures as data, the reading in sentences, and figures for programs.",
            "content": {MARKDOWN_MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
        **describe_errors(NotFound, NotAcceptable, Conflict),
    },
)
def read_report(evaluation_id: str, context: Ctx, accept: Accept) -> Response:
    """JSON, or Markdown under `Accept: text/markdown`."""
    media_type = negotiate(accept, (JSON_MEDIA_TYPE, MARKDOWN_MEDIA_TYPE))
    evaluation, report = require_report(context.store, evaluation_id)
    if media_type == MARKDOWN_MEDIA_TYPE:
        return Response(to_markdown(evaluation, report), media_type=media_type, headers=VARY)
    return json_response(report, headers=VARY)


@router.get(
    "/{evaluation_id}/report.md",
    response_class=Response,
    summary="Read the report as Markdown",
    responses={
        200: {"description": "The report.", "content": {MARKDOWN_MEDIA_TYPE: {"schema": {"type": "string"}}}},
        **describe_errors(NotFound, Conflict),
    },
)
def read_markdown(evaluation_id: str, context: Ctx) -> Response:
    """For a browser or a file; pictures are named beside it."""
    evaluation, report = require_report(context.store, evaluation_id)
    return Response(to_markdown(evaluation, report), media_type=MARKDOWN_MEDIA_TYPE)


@router.get(
    "/{evaluation_id}/pictures/{file_name}",
    response_class=Response,
    summary="Read a picture of the report",
    responses={
        200: {
            "description": "A picture's `name` in the report, ended by .svg or .png.",
            "content": {kind: {"schema": {"format": "binary"}} for kind in PICTURE_MEDIA_TYPES.values()},
        },
        **describe_errors(NotFound, Conflict),
    },
)
def read_picture(evaluation_id: str, file_name: str, context: Ctx) -> Response:
    """SVG or PNG, drawn when the report was made."""
    _, report = require_report(context.store, evaluation_id)
    content = context.store.evaluation_data.picture(evaluation_id, file_name)
    if content is None:
        raise NotFound(
            f"The report has no picture {file_name[:80]!r}.",
            hint="Ask for one of those named here.",
            extra={"pictures": [f"{one.name}.{ending}" for one in report.pictures for ending in PICTURE_MEDIA_TYPES]},
        )
    kind = PICTURE_MEDIA_TYPES[file_name.rpartition(".")[2]]
    return Response(content, media_type=kind, headers=_PICTURE_HEADERS)
