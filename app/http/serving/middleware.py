"""The outermost layer: a request id, a log line, a figure, a limit on the body, and the last resort for errors."""

import re
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.health.metrics import Metrics
from app.http.problems import problem_response
from influence.digests import new_id
from influence.errors import Internal, TooLarge

log = structlog.get_logger()

REQUEST_ID_HEADER = "X-Request-Id"
#: An answer is data: nothing in it runs, no page shows it as a part of its own. Pages of ours set their own policy.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Standard methods; anything else is counted as one, so that a client cannot make metrics grow.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: Asked for every few seconds by machines, and by who waits for work: not worth a line each.
PROBES = ("/health/", "/metrics")
_POLLED = "/v1/jobs"
_NOT_MODIFIED = 304


class RequestFrame:
    """Wraps the application. Here is one of the two places that may catch everything."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(Headers(scope=scope).get(REQUEST_ID_HEADER))
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answer = _Answer(send, request_id)
        started = time.perf_counter()
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            log.info("the client went away")
        except Exception:
            log.exception("request failed")
            if answer.status is not None:
                raise  # half an answer is out already: the server cuts the connection
            await problem_response(Internal("The request could not be carried out."), request_id)(
                scope, receive, answer.send
            )
        finally:
            self._report(scope, answer, time.perf_counter() - started)

    def _report(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", "unmatched")
        status = answer.status or 499
        self._metrics.observe(method, route, status, seconds)
        write = log.debug if is_routine(method, route, status) else log.info
        write(
            "request",
            method=method,
            path=scope["path"][:200],
            status=status,
            ms=round(seconds * 1000, 1),
            **({"job_id": scope["state"]["job_id"]} if "job_id" in scope["state"] else {}),
        )


def is_routine(method: str, route: str, status: int) -> bool:
    """Whether nothing is to be learnt from a request: a probe, a look at a job, or at what has not changed."""
    is_poll = method == "GET" and route.startswith(_POLLED) and status < 400
    return route.startswith(PROBES) or is_poll or status == _NOT_MODIFIED


class _Answer:
    """Notes the status that goes out, puts the request id on it, and what keeps browsers from doing more with it."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self._request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class BodyLimit:
    """Refuses bodies over a limit by their Content-Length, and counts those that do not say or lie.

    Uploads have limits of their own, which depend on the form's fields: paths in `uploads` map to theirs.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, uploads: dict[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith("multipart/")
        limit = self._uploads.get(scope["path"].rstrip("/"), self._max_bytes) if is_form else self._max_bytes
        try:
            _check_size(int(headers.get("content-length", 0)), limit)
        except (TooLarge, ValueError) as error:
            refusal = error if isinstance(error, TooLarge) else TooLarge("Content-Length is not a number.")
            response = problem_response(refusal, scope["state"]["request_id"], {"Connection": "close"})
            await response(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)


def _counted(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def receive_counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        _check_size(seen, limit)
        return message

    return receive_counted


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(
            f"The body is larger than the {limit:,} bytes that this call takes.",
            hint="Send less, name a path under the allowed roots instead, or ask the operator to raise the limit.",
            extra={"max_bytes": limit},
        )


def choose_request_id(given: str | None) -> str:
    """The caller's id where it is harmless, else a new one."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else new_id("req")
