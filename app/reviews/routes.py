"""/v1/reviews"""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Query, Response
from pydantic import Field

from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.idempotency import Accepted, OnceOnly
from app.http.listing import NamedParameters, NameList, rename
from app.http.pagination import Bounds, RowParameters, bounds_of, check_bounds
from app.http.problems import describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from app.reviews.bulk import decide_many
from app.reviews.decide import decide, undo
from app.reviews.submit import create_review, delete_review, with_progress
from influence.contracts.common import NameChange, Page, Record
from influence.contracts.curation.review import (
    ApplyAnswer,
    BulkAnswer,
    BulkRequest,
    DecisionPage,
    DecisionsAnswer,
    DecisionsRequest,
    HistoryPage,
    Review,
    ReviewRequest,
    UndoRequest,
)
from influence.digests import digest_json
from influence.errors import (
    Conflict,
    EmptyFile,
    IdempotencyConflict,
    InvalidRequest,
    LabelOutOfRange,
    LabelUnknown,
    NotFound,
)

router = APIRouter(prefix="/v1/reviews", tags=["reviews"], route_class=StrictRoute, dependencies=GUARDED)

#: What decisions are refused for.
DECISION_ERRORS = (NotFound, LabelUnknown, LabelOutOfRange)


class DecisionParameters(RowParameters):
    """`row_index`, repeated, asks for the decisions of these rows alone."""

    row_index: list[int] | None = Field(None, max_length=1000)


class ReviewParameters(NamedParameters):
    """A page of the reviews that fit."""

    dataset_id: str | None = Field(None, description="Of this data set.")
    audit_id: str | None = Field(None, description="Of this audit.")


class ReviewList(NameList):
    """Checked parameters of the list of reviews."""

    def __init__(self, bounds: Bounds, parameters: ReviewParameters) -> None:
        super().__init__(bounds, parameters)
        self._wanted = {"dataset_id": parameters.dataset_id, "audit_id": parameters.audit_id}

    def fits(self, record: Record) -> bool:
        return super().fits(record) and all(
            wanted in (None, getattr(record, name)) for name, wanted in self._wanted.items()
        )


async def find_reviews(context: Ctx, parameters: Annotated[ReviewParameters, Query()]) -> ReviewList:
    """Raises InvalidRequest."""
    return ReviewList(bounds_of(context, parameters), parameters)


ReviewsOf = Annotated[ReviewList, Depends(find_reviews)]


@router.post(
    "",
    status_code=201,
    response_model=Review,
    summary="Begin a review",
    responses=describe_errors(NotFound, Conflict, IdempotencyConflict),
)
def begin_review(body: ReviewRequest, context: Ctx, once: OnceOnly) -> Response:
    """A review keeps what people decide about the rows of a data set; the rows themselves never change."""
    made = once.run(digest_json(body.model_dump(mode="json")), lambda: Accepted(create_review(context.store, body).id))
    review = with_progress(context.store, context.store.reviews.require(made.resource_id))
    return json_response(review, 201, {"Location": f"/v1/reviews/{review.id}", **made.headers})


@router.get("", response_model=Page[Review], summary="List reviews", responses=describe_errors(NotFound))
def list_reviews(context: Ctx, asked: ReviewsOf) -> Response:
    """Newest first, with their progress."""
    return asked.respond(context.store.reviews, lambda review: with_progress(context.store, review))


@router.get("/{review_id}", response_model=Review, summary="Read a review", responses=describe_errors(NotFound))
def read_review(review_id: str, context: Ctx) -> Response:
    """Version, progress by action, and the hit rate of the last 20 decisions."""
    review = with_progress(context.store, context.store.reviews.require(review_id))
    return json_response(review, headers={"ETag": f'"{review.version}"'})


@router.patch("/{review_id}", response_model=Review, summary="Rename a review", responses=describe_errors(NotFound))
def change_review(review_id: str, body: NameChange, context: Ctx) -> Response:
    """Decisions stay as they are."""
    return json_response(with_progress(context.store, rename(context.store.reviews, review_id, body)))


@router.delete("/{review_id}", status_code=204, summary="Delete a review", responses=describe_errors(NotFound))
def remove_review(review_id: str, context: Ctx) -> Response:
    """Removes decisions and history; data sets that the review made stay."""
    delete_review(context.store, review_id)
    return Response(status_code=204)


@router.get(
    "/{review_id}/decisions", response_model=DecisionPage, summary="Read decisions", responses=describe_errors(NotFound)
)
def read_decisions(review_id: str, context: Ctx, parameters: Annotated[DecisionParameters, Query()]) -> Response:
    """The newest first; with `row_index` those of the rows named."""
    data, bounds = context.store.review_data, check_bounds(context, parameters)
    context.store.reviews.require(review_id)
    version = data.version(review_id)
    if parameters.row_index is not None:
        found = list(data.find(review_id, parameters.row_index).values())
        return json_response(DecisionPage(data=found, has_more=False, decisions=len(found), version=version))
    found, total = data.page(review_id, bounds.offset, bounds.length)
    page = DecisionPage(data=found, **bounds.beyond(len(found), total), decisions=total, version=version)
    return json_response(page)


@router.patch(
    "/{review_id}/decisions",
    response_model=DecisionsAnswer,
    summary="Decide about rows",
    responses=describe_errors(*DECISION_ERRORS),
)
def change_decisions(
    review_id: str,
    body: DecisionsRequest,
    context: Ctx,
    if_match: Annotated[
        str | None, Header(description="The version that the caller knows: rows decided since are conflicts.")
    ] = None,
) -> Response:
    """One transaction. `action: null` takes a decision back. Without `If-Match` the last word counts; the history keeps
    all of them."""
    review = context.store.reviews.require(review_id)
    answer = decide(context.store, context.files, review, body, _known_version(if_match))
    return json_response(answer, headers={"ETag": f'"{answer.version}"'})


@router.post(
    "/{review_id}/decisions/bulk",
    response_model=BulkAnswer,
    summary="Decide about many rows",
    responses=describe_errors(*DECISION_ERRORS, Conflict),
)
def decide_bulk(review_id: str, body: BulkRequest, context: Ctx) -> Response:
    """Rows by number, or by the review's audit. `dry_run` says what would change, per class and with samples."""
    review = context.store.reviews.require(review_id)
    return json_response(decide_many(context, review, body))


@router.post(
    "/{review_id}/undo",
    response_model=DecisionsAnswer,
    summary="Take the last change back",
    responses=describe_errors(NotFound, Conflict),
)
def undo_change(
    review_id: str, context: Ctx, body: Annotated[UndoRequest, Body(default_factory=UndoRequest)]
) -> Response:
    """Of one reviewer, or of anyone. Rows that were decided anew since are conflicts and stay."""
    return json_response(undo(context.store, context.store.reviews.require(review_id), body.by))


@router.get(
    "/{review_id}/history", response_model=HistoryPage, summary="Read changes", responses=describe_errors(NotFound)
)
def read_history(review_id: str, context: Ctx, parameters: Annotated[RowParameters, Query()]) -> Response:
    """Every change ever made, the newest first, with who made it."""
    bounds = check_bounds(context, parameters)
    context.store.reviews.require(review_id)
    version = context.store.review_data.version(review_id)
    found = context.store.review_data.history(review_id, bounds.offset, bounds.length)
    return json_response(HistoryPage(data=found, **bounds.beyond(len(found), version), version=version))


@router.post(
    "/{review_id}/apply",
    status_code=201,
    response_model=ApplyAnswer,
    summary="Make the cleaned data set",
    responses={
        200: {"model": ApplyAnswer, "description": "The same rows were there before: this is their data set."},
        **describe_errors(NotFound, Conflict, EmptyFile),
    },
)
def apply_decisions(review_id: str, context: Ctx) -> Response:
    """Rows that stay, with their new labels, as a data set of its own; `derived_from` in its record is the manifest."""
    # Loading the table readers (pyarrow) takes longer than the API may take to start.
    from app.reviews.apply import apply_review

    answer = apply_review(context.store, context.files, context.store.reviews.require(review_id))
    headers = {"Location": f"/v1/datasets/{answer.dataset_id}"}
    return json_response(answer, 201 if answer.is_new else 200, headers)


def _known_version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidRequest(
            f"If-Match is '{if_match[:80]}'.", hint='Send the version as the ETag has it, such as "12".'
        )
    return int(text)
