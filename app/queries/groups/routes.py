"""/v1/indexes/{id}/groups and /v1/groups"""

from fastapi import APIRouter, Response

from app.http.context import Ctx
from app.http.listing import WorkOf
from app.http.problems import INDEX_ERRORS, ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from app.queries.groups.submit import submit_groups
from app.queries.groups.what_if import what_if
from influence.contracts.common import Page
from influence.contracts.curation.groups import Groups, GroupsRequest, WhatIf, WhatIfRequest
from influence.errors import Conflict, InvalidRequest, NotFound, NoWorker
from influence.store.work import erase, with_job_state

router = APIRouter(tags=["groups"], route_class=StrictRoute)


@router.post(
    "/v1/indexes/{index_id}/groups",
    status_code=202,
    response_model=Groups,
    summary="Compare groups of training rows",
    responses={
        200: {"model": Groups, "description": "The figures, which were there within `Prefer: wait=N`."},
        **describe_errors(*INDEX_ERRORS, *ROW_ERRORS, NoWorker, *WORK_ERRORS),
    },
)
async def create_groups(index_id: str, body: GroupsRequest, submission: Submitted) -> Response:
    """Training rows by label or by a metadata column: what each group does to the loss of evaluation rows, with
    intervals, its share of the most helpful and most harmful rows, and its best and worst rows.

    Answers 202 at once; with `Prefer: wait=N` 200 and the figures if they are there in time.
    """
    store = submission.context.store
    return await submission.respond(
        body,
        lambda: submit_groups(store, index_id, body),
        store.groups,
        needs_worker=True,
    )


@router.get("/v1/groups", response_model=Page[Groups], summary="List groups", responses=describe_errors(NotFound))
def list_groups(context: Ctx, asked: WorkOf) -> Response:
    """Newest first, without results; those of the last seven days."""
    return asked.respond(context, context.store.groups)


@router.get("/v1/groups/{groups_id}", response_model=Groups, summary="Read groups", responses=describe_errors(NotFound))
def read_groups(groups_id: str, context: Ctx) -> Response:
    """The figures again, for seven days after they were made."""
    return json_response(with_job_state(context.store, context.store.groups.require(groups_id)))


@router.post(
    "/v1/groups/{groups_id}/what-if",
    response_model=WhatIf,
    summary="Ask what leaving rows out would do",
    responses=describe_errors(NotFound, Conflict, InvalidRequest),
)
def ask_what_if(groups_id: str, body: WhatIfRequest, context: Ctx) -> Response:
    """The predicted effect of a set of rows beside random sets of the same size, and how classes and groups change.

    At once: from the mean scores that the groups keep. Only training again can say what really happens.
    """
    record = with_job_state(context.store, context.store.groups.require(groups_id))
    return json_response(what_if(context, record, body))


@router.delete("/v1/groups/{groups_id}", status_code=204, summary="Delete groups", responses=describe_errors(NotFound))
def remove_groups(groups_id: str, context: Ctx) -> Response:
    """Removes figures and scores; work in hand is cancelled first."""
    erase(context.store, context.store.groups, groups_id)
    return Response(status_code=204)
