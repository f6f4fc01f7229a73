"""Every error leaves as application/problem+json (RFC 9457) with a stable code, a hint and the request's id."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from influence.errors import (
    Conflict,
    DatainfError,
    DiskFull,
    Forbidden,
    IdempotencyConflict,
    IndexFailed,
    IndexNotReady,
    Internal,
    InvalidRequest,
    LabelOutOfRange,
    LabelUnknown,
    MethodNotAllowed,
    MethodNotOffered,
    NotFound,
    RecordDamaged,
    RowsUnfit,
    StoreUnavailable,
    TooLarge,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    UnknownMethod,
    UnsupportedFormat,
    is_disk_full,
)
from influence.store.connections import StoreError, StoreFullError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
_SHOWN_ERRORS = 20
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_SHOWN_CHARACTERS = 300
#: What every POST can meet that names resources in a JSON body and starts long work.
WORK_ERRORS = (NotFound, IdempotencyConflict, TooLarge, UnsupportedFormat, TooManyRequests)
#: What sending files can meet.
UPLOAD_ERRORS = (TooLarge, DiskFull)
#: What asking an index by a method can meet.
INDEX_ERRORS = (IndexNotReady, IndexFailed, UnknownMethod, MethodNotOffered)
#: What rows can meet that a checkpoint is to read.
ROW_ERRORS = (RowsUnfit, LabelOutOfRange, LabelUnknown)


class Problem(BaseModel):
    """An error as it is sent; figures a program can use stand beside these fields."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:datainf:error:not_found"])
    title: str = Field(examples=["No such resource"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no index 'idx_3f1c'."])
    code: str = Field(examples=["not_found"])
    hint: str = Field(examples=["Check the id; list what exists with a GET on the collection."])
    request_id: str = Field(examples=["req_01J9Z3K8Q4"])


class ProblemResponse(JSONResponse):
    """A problem; what of it is no Unicode, such as half of a surrogate pair in a name that is quoted, becomes '?'."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def describe_errors(*classes: type[DatainfError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of a route: the codes by status."""
    by_status: dict[int, list[type[DatainfError]]] = {}
    everywhere: tuple[type[DatainfError], ...] = (
        Unauthorised,
        Forbidden,
        TooManyRequests,
        InvalidRequest,
        StoreUnavailable,
        RecordDamaged,
        Internal,
    )
    for error in (*classes, *everywhere):
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": " · ".join(dict.fromkeys(f"`{error.code}`: {error.title}" for error in errors)),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, errors in sorted(by_status.items())
    }


def problem_response(error: DatainfError, request_id: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Render an error."""
    content = {**error.problem(), "request_id": request_id}
    return ProblemResponse(jsonable_encoder(content), error.status, headers={**_headers(error), **(headers or {})})


def _headers(error: DatainfError) -> dict[str, str]:
    if isinstance(error, Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, IndexNotReady) or (isinstance(error, Unavailable) and error.status == 503):
        return {"Retry-After": str(error.extra.get("retry_after_seconds", RETRY_SECONDS))}
    if isinstance(error, Conflict | TooManyRequests) and "retry_after_seconds" in error.extra:
        return {"Retry-After": str(error.extra["retry_after_seconds"])}
    return {}


def translate_store_error(error: Exception) -> StoreUnavailable:
    """What a lost or full server means for the caller."""
    if isinstance(error, StoreFullError):
        return StoreUnavailable("The Redis server is full.", hint="Delete indexes, or give the server more memory.")
    return StoreUnavailable("The Redis server does not answer.")


def translate_validation(errors: Sequence[Any]) -> InvalidRequest:
    """pydantic's findings as one error: a sentence about the first, all of them in `errors`."""
    fields = [
        {
            "field": ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))[:200],
            "message": str(error["msg"]).removeprefix("Value error, ")[:_SHOWN_CHARACTERS],
        }
        for error in errors[:_SHOWN_ERRORS]
    ]
    first = fields[0] if fields else {"field": "", "message": "the request is malformed"}
    where = f"'{first['field']}': " if first["field"] else ""
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return InvalidRequest(
        f"{where}{first['message']}{more}.",
        hint="Fix the fields listed in 'errors'; /docs shows what this call accepts.",
        extra={"errors": fields},
    )


def translate_http(error: HTTPException, method: str, path: str) -> DatainfError:
    """What the router itself says: no such path, method or body."""
    if error.status_code == 404:
        return NotFound(f"There is no path {path[:200]!r}.", hint="See /docs for every path.")
    if error.status_code == 405:
        return MethodNotAllowed(f"{path[:200]!r} does not take {method}.", hint="See /docs for what it takes.")
    return InvalidRequest(str(error.detail)[:_SHOWN_CHARACTERS])


def find_methods(request: Request) -> list[str]:
    """All methods that the request's path takes; the framework names only those of the first route. HEAD is as GET."""
    asked = {method: {**request.scope, "method": "GET" if method == "HEAD" else method} for method in _METHODS}
    routes = request.app.routes
    return [name for name, scope in asked.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def install_handlers(app: FastAPI) -> None:
    """Make every expected error a problem; the unexpected ones end in the outermost middleware."""

    def refuse(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DatainfError)
        log.info("refused", code=error.code, detail=error.detail)
        return problem_response(error, request.state.request_id)

    def lose_store(request: Request, error: Exception) -> JSONResponse:
        log.error("the store does not answer", error=str(error))
        return problem_response(translate_store_error(error), request.state.request_id)

    def refuse_full_disk(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OSError)
        if not is_disk_full(error):
            raise error
        log.error("the disk is full", error=str(error))
        return problem_response(DiskFull("There is no room to write what was sent."), request.state.request_id)

    def refuse_fields(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return problem_response(translate_validation(error.errors()), request.state.request_id)

    def refuse_route(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        translated = translate_http(error, request.method, request.url.path)
        headers = {"Allow": ", ".join(find_methods(request))} if error.status_code == 405 else error.headers
        return problem_response(translated, request.state.request_id, headers)

    app.add_exception_handler(DatainfError, refuse)
    app.add_exception_handler(StoreError, lose_store)
    app.add_exception_handler(OSError, refuse_full_disk)
    app.add_exception_handler(RequestValidationError, refuse_fields)
    app.add_exception_handler(HTTPException, refuse_route)
