"""/v1/indexes/{id}/queries and /v1/queries"""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from fastapi.responses import StreamingResponse

from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.media_types import JSON_MEDIA_TYPE, PARQUET_MEDIA_TYPE, VARY, Accept, describe_files, negotiate
from app.http.problems import INDEX_ERRORS, ROW_ERRORS, WORK_ERRORS, describe_errors
from app.http.responses import Submitted, json_response
from app.http.strict_json import StrictRoute
from app.queries.listing import QueriesOf
from app.queries.scores import find_scores, stream_json, to_parquet
from app.queries.submit import submit_query
from influence.contracts.common import Page
from influence.contracts.query import Query, QueryRequest, QueryScores
from influence.errors import (
    BrokenRow,
    ColumnsAmbiguous,
    ColumnsUnmatched,
    IndexNotReady,
    NotAcceptable,
    NotFound,
    NoWorker,
    ShardMissing,
)
from influence.store.work import erase, with_job_state

router = APIRouter(tags=["queries"], route_class=StrictRoute, dependencies=GUARDED)

EXAMPLES = {
    "example": {
        "summary": "Which rows taught the model this answer?",
        "value": {
            "examples": [{"text": "refund still missing", "label": "billing"}],
            "method": "datainf",
            "k": 10,
            "order": "both",
        },
    },
    "rows": {
        "summary": "Influence on the mean loss of validation rows",
        "value": {"rows": {"dataset_id": "ds_77aa", "row_indexes": [0, 1, 2]}, "aggregate": "mean", "k": 50},
    },
}


@router.post(
    "/v1/indexes/{index_id}/queries",
    status_code=202,
    response_model=Query,
    summary="Ask which training rows taught this",
    responses={
        200: {"model": Query, "description": "The result, which was there within `Prefer: wait=N`."},
        **describe_errors(
            *INDEX_ERRORS, *ROW_ERRORS, ColumnsUnmatched, ColumnsAmbiguous, BrokenRow, NoWorker, *WORK_ERRORS
        ),
    },
)
async def create_query(
    index_id: str, body: Annotated[QueryRequest, Body(openapi_examples=EXAMPLES)], submission: Submitted
) -> Response:
    """Score every row of an index on test points: most helpful and most harmful rows, histogram, summary.

    Answers 202 at once; with `Prefer: wait=N` 200 and the whole result if it is there in time.
    """
    store, limits = submission.context.store, submission.context.settings.image_limits
    return await submission.respond(
        body,
        lambda: submit_query(store, index_id, body, image_limits=limits),
        store.queries,
        needs_worker=True,
    )


@router.get("/v1/queries", response_model=Page[Query], summary="List queries", responses=describe_errors(NotFound))
def list_queries(context: Ctx, asked: QueriesOf) -> Response:
    """Newest first, without results; those of the last seven days."""
    return asked.respond(context, context.store.queries)


@router.get("/v1/queries/{query_id}", response_model=Query, summary="Read a query", responses=describe_errors(NotFound))
def read_query(query_id: str, context: Ctx) -> Response:
    """The results again, for seven days after they were made."""
    return json_response(with_job_state(context.store, context.store.queries.require(query_id)))


@router.get(
    "/v1/queries/{query_id}/scores",
    summary="Read all scores of a query",
    response_class=StreamingResponse,
    responses={
        200: {
            "model": QueryScores,
            "description": "Per test point the scores of every row of the data set in its order, positive = helpful, "
            "and influence = -score; null where a row is not in the index.",
            "content": describe_files([PARQUET_MEDIA_TYPE]),
        },
        **describe_errors(NotFound, NotAcceptable, IndexNotReady, NoWorker, ShardMissing),
    },
)
def read_scores(query_id: str, context: Ctx, accept: Accept) -> Response:
    """JSON, or Parquet with one column per test point under `Accept: application/vnd.apache.parquet`."""
    media_type = negotiate(accept, (JSON_MEDIA_TYPE, PARQUET_MEDIA_TYPE))
    query = with_job_state(context.store, context.store.queries.require(query_id))
    scores = find_scores(context.store, query)
    if media_type == PARQUET_MEDIA_TYPE:
        return Response(to_parquet(scores), media_type=media_type, headers=VARY)
    return StreamingResponse(stream_json(query.id, scores), media_type=media_type, headers=VARY)


@router.delete("/v1/queries/{query_id}", status_code=204, summary="Delete a query", responses=describe_errors(NotFound))
def remove_query(query_id: str, context: Ctx) -> Response:
    """Removes results and scores; a query that is still worked on is cancelled first."""
    erase(context.store, context.store.queries, query_id)
    return Response(status_code=204)
