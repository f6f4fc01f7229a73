"""/v1/indexes/{id}/groups and /v1/groups"""

from dataclasses import replace
from http import HTTPStatus

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from app.http.auth import GUARDED
from app.http.context import Context, Ctx
from app.http.idempotency import Accepted, IdempotentRun, OnceOnly
from app.http.listing import WorkOf
from app.http.problems import INDEX_ERRORS, ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from app.queries.groups.of_index import find_or_submit
from app.queries.groups.submit import submit_groups
from app.queries.groups.verify import begin_verification
from app.queries.groups.what_if import choose_rows, what_if
from influence.contracts.common import Page
from influence.contracts.curation.groups import Groups, GroupsRequest, IndexWhatIfRequest, WhatIf, WhatIfRequest
from influence.digests import digest_json
from influence.errors import Conflict, IdempotencyConflict, InvalidRequest, NotFound, NoWorker
from influence.store.work import erase, with_job_state

router = APIRouter(tags=["groups"], route_class=StrictRoute, dependencies=GUARDED)


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
    responses={
        202: {"model": WhatIf, "description": "The same, and `verify` has begun: `Location` names the job."},
        **describe_errors(NotFound, Conflict, InvalidRequest, *INDEX_ERRORS, *ROW_ERRORS, IdempotencyConflict),
    },
)
def ask_what_if(groups_id: str, body: WhatIfRequest, context: Ctx, once: OnceOnly) -> Response:
    """The predicted effect of a set of rows beside random sets of the same size, how classes and groups change, and
    what it would cost to verify.

    At once: from the mean scores that the groups keep. With `verify` models are trained again without just these rows,
    paired with random removal, as an evaluation of kind `leave-out`.
    """
    return _answer_what_if(groups_id, body, context, once)


def _answer_what_if(groups_id: str, body: WhatIfRequest, context: Context, once: IdempotentRun) -> Response:
    record = with_job_state(context.store, context.store.groups.require(groups_id))
    removed = choose_rows(context, record, body.remove)
    said = what_if(context, record, body, removed)
    if not body.verify:
        return json_response(said)
    digest = digest_json(body.model_dump(mode="json"))
    begun = once.run(digest, lambda: begin_verification(context, record, body, removed, said))
    answer = said.model_copy(update={"evaluation_id": begun.resource_id, "job_id": begun.job_id})
    return json_response(answer, 202, {"Location": f"/v1/jobs/{begun.job_id}", **begun.headers})


@router.post(
    "/v1/indexes/{index_id}/what-if",
    response_model=WhatIf,
    summary="Ask what leaving rows of an index out would do",
    responses={
        202: {
            "model": Groups | WhatIf,
            "description": "The groups that are made first: send the same again when their job is done. Or, with "
            "`verify`, the answer: `Location` names the job that trains.",
        },
        **describe_errors(*INDEX_ERRORS, *ROW_ERRORS, NoWorker, *WORK_ERRORS, Conflict),
    },
)
async def ask_index_what_if(index_id: str, body: IndexWhatIfRequest, submission: Submitted) -> Response:
    """As for groups, whose scores answer: those of the same evaluation rows and method that are there, else new ones.

    With `Prefer: wait=N` new groups are waited for. The same again finds them.
    """
    context, made = submission.context, []

    def find() -> Accepted:
        made.append(find_or_submit(context.store, index_id, body))
        return made[-1]

    # The groups are found by what they are of; the caller's key is for the training alone.
    groups = await replace(submission, once=IdempotentRun(context.store, None)).respond(
        body, find, context.store.groups, needs_worker=True
    )
    if groups.status_code != HTTPStatus.OK:
        return groups
    return await run_in_threadpool(_answer_what_if, made[0].resource_id, body, context, submission.once)


@router.delete("/v1/groups/{groups_id}", status_code=204, summary="Delete groups", responses=describe_errors(NotFound))
def remove_groups(groups_id: str, context: Ctx) -> Response:
    """Removes figures and scores; work in hand is cancelled first."""
    erase(context.store, context.store.groups, groups_id)
    return Response(status_code=204)
