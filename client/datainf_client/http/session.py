"""Calls to one service. Failures are ServiceError; what can be sent again without doing work twice is."""

import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from datainf_client.http.errors import CONNECTION_LOST, UNREACHABLE, ServiceError
from datainf_client.http.retries import Retries, asked_seconds, asks_again
from datainf_client.text import plain
from datainf_client.version import VERSION

Json = dict[str, Any]
DEFAULT_URL = "http://127.0.0.1:8321"
#: An upload of many gigabytes is checked before it is answered.
_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_SHOWN_CHARACTERS = 300


class Session:
    """`path` arguments begin with '/'. Not for several threads at once while it is closed."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"User-Agent": f"datainf-client/{VERSION}"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        # A proxy from the environment cannot reach this machine's loopback.
        through_proxy = host_of(url) not in ("127.0.0.1", "localhost", "::1")
        self.url = url
        self._retries = retries or Retries()
        self._has_answered = False
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=_TIMEOUT, trust_env=through_proxy, transport=transport
        )

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, path: str, **parameters: Any) -> Json:
        """The JSON object at a path; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return _read_object(self._send("GET", path, is_repeatable=True, params=given))

    def submit(
        self, path: str, body: Json | None = None, *, headers: Mapping[str, str] | None = None, **form: Any
    ) -> Json:
        """A POST that makes a resource, under a key of its own: sent again, it does its work once.

        `body` is sent as JSON; `data` and `files`, as httpx takes them, as a form.
        """
        sent = {"Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        options = form if form else {"json": body}
        return _read_object(self._send("POST", path, is_repeatable=True, headers=sent, **options))

    def post(self, path: str, body: Json | None = None, *, is_repeatable: bool = False, **form: Any) -> Json:
        """Any other POST; sent again only if it `is_repeatable` or was surely not heard."""
        options = form if form else {"json": body}
        return _read_object(self._send("POST", path, is_repeatable=is_repeatable, **options))

    def patch(self, path: str, body: Json, *, headers: Mapping[str, str] | None = None) -> Json:
        """PATCH with a JSON body."""
        return _read_object(self._send("PATCH", path, is_repeatable=False, json=body, headers=dict(headers or {})))

    def delete(self, path: str) -> Json:
        """DELETE a path; an empty answer is an empty object."""
        response = self._send("DELETE", path, is_repeatable=True)
        return {} if response.is_success and not response.content else _read_object(response)

    def readiness(self) -> Json:
        """What the service says of itself, ready or not."""
        response = self._once("GET", "/health/ready")
        return _read_object(response, refuse=False)

    def fetch(self, path: str, *, media_type: str = "*/*") -> bytes:
        """The bytes at a path."""
        response = self._send("GET", path, is_repeatable=True, headers={"Accept": media_type})
        if not response.is_success:
            _read_object(response)
        return response.content

    @contextmanager
    def stream(self, path: str, *, media_type: str = "*/*", **parameters: Any) -> Iterator[httpx.Response]:
        """A successful GET whose body is read piece by piece."""
        given = {name: value for name, value in parameters.items() if value is not None}
        headers = {"Accept": media_type}
        response = self._send("GET", path, is_repeatable=True, stream=True, headers=headers, params=given)
        try:
            if not response.is_success:
                response.read()
                _read_object(response)
            yield response
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        finally:
            response.close()

    def lines(self, path: str, *, media_type: str, **parameters: Any) -> Iterator[str]:
        """The lines of an answer, none of them held longer than it is looked at."""
        with self.stream(path, media_type=media_type, **parameters) as response:
            yield from response.iter_lines()

    def download(self, path: str, target: Path, *, media_type: str = "*/*", **parameters: Any) -> None:
        """Write an answer's bytes to a file, which appears whole or not at all; a pipe or a device is written into, and
        what a link leads to stays where it is."""
        target = target.resolve()
        is_file = target.is_file() or not target.exists()
        unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part") if is_file else target
        try:
            with self.stream(path, media_type=media_type, **parameters) as response, unfinished.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
            if is_file:
                unfinished.replace(target)
        except OSError as error:
            raise ServiceError(
                f"{plain(target)} cannot be written: {error.strerror}.",
                code="invalid_request",
                hint="Name another path.",
            ) from error
        finally:
            if is_file:
                with suppress(OSError):
                    unfinished.unlink()

    def events(self, path: str, *, read_seconds: float) -> Iterator[str]:
        """Data of server-sent events, '' for signs of life; ends without a word where the stream breaks or is none."""
        timeout = httpx.Timeout(read_seconds, connect=5.0)
        headers = {"Accept": "text/event-stream"}
        try:
            with self._client.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    for line in response.iter_lines():
                        yield line.removeprefix("data:").strip() if line.startswith("data:") else ""
        except httpx.HTTPError:
            return

    def _send(
        self, method: str, path: str, *, is_repeatable: bool, stream: bool = False, **options: Any
    ) -> httpx.Response:
        """An answer of any status, after as many attempts as make sense."""
        slept = 0.0
        for pause in chain(self._retries.pauses(), [None]):
            try:
                response = self._once(method, path, stream=stream, **options)
            except ServiceError as error:
                may_repeat = is_repeatable or error.code == UNREACHABLE
                if pause is None or not error.is_absence or not may_repeat or not self._has_answered:
                    raise
            else:
                if pause is None or not asks_again(response, is_repeatable=is_repeatable):
                    return response
                pause = max(pause, asked_seconds(response))
                if slept + pause > self._retries.total_seconds:
                    return response
                response.close()
            time.sleep(pause)
            slept += pause
        raise AssertionError("the last attempt answers or raises")

    def _once(self, method: str, path: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        try:
            response = self._client.send(self._client.build_request(method, path, **options), stream=stream)
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        except ValueError as error:  # NaN, or half of a surrogate pair
            raise ServiceError(
                f"The request cannot be written as JSON in UTF-8: {plain(error, _SHOWN_CHARACTERS)}.",
                code="invalid_request",
                hint="Numbers have to be finite and text has to be Unicode.",
            ) from error
        self._has_answered = True
        return response

    def _lost(self, error: Exception) -> ServiceError:
        """What a lost connection means."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ServiceError(
                f"No service answers at {plain(self.url)}.",
                code=UNREACHABLE,
                hint="Start it with 'datainf serve', or name it with --url, url= or DATAINF_URL.",
            )
        what = plain(str(error) or type(error).__name__, _SHOWN_CHARACTERS)
        return ServiceError(
            f"The connection to {plain(self.url)} was lost: {what}.", code=CONNECTION_LOST, hint="Try again."
        )


def host_of(url: str) -> str:
    """The host of a service's URL. Raises ServiceError for what is none."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ServiceError(
            f"{plain(url, 200)!r} is not an http(s) URL.", code="invalid_request", hint=f"Use one like {DEFAULT_URL}."
        )
    return parsed.host


def _read_object(response: httpx.Response, *, refuse: bool = True) -> Json:
    """The JSON object of an answer. Raises ServiceError for a problem and for what is not our API's."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and (response.is_success or not refuse):
        return body
    if isinstance(body, dict) and "detail" in body:
        raise ServiceError.of(body, response.status_code)
    start = plain(response.text, _SHOWN_CHARACTERS)
    raise ServiceError(
        f"The answer was not the API's: status {response.status_code}, {start!r}.",
        code="unexpected_answer",
        hint="Is this the URL of a datainf service?",
        status=response.status_code,
    )
