"""The service as its clients see it: HTTP calls whose failures are errors of our tree."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from cli.printing.text import plain
from influence.contracts.common import Json
from influence.contracts.work import WORK_KINDS
from influence.errors import DatainfError, InvalidRequest, Unavailable

DEFAULT_URL = "http://127.0.0.1:8321"
#: An upload of many gigabytes is checked before it is answered.
_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_SHOWN_CHARACTERS = 300
#: Prefix of an id to its collection.
COLLECTIONS = {
    "ckpt": "checkpoints",
    "run": "runs",
    "ds": "datasets",
    "job": "jobs",
    **{kind.prefix: kind.collection for kind in WORK_KINDS},
}


class ServiceProblem(DatainfError):
    """A problem that the service answered, as it was sent."""

    def __init__(self, body: Json) -> None:
        super().__init__(str(body.get("detail") or body.get("title") or "The service refused."), hint=body.get("hint"))
        self._body = body

    def problem(self) -> Json:
        """The object received."""
        return self._body


class Service:
    """Calls to one service. `path` arguments begin with '/'."""

    def __init__(self, url: str, api_key: str | None = None, *, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # A proxy from the environment cannot reach this machine's loopback.
        through_proxy = host_of(url) not in ("127.0.0.1", "localhost", "::1")
        self._url = url
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=_TIMEOUT, trust_env=through_proxy, transport=transport
        )

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **parameters: str | int) -> Json:
        """The JSON object at a path. Raises ServiceProblem, Unavailable."""
        return self.send("GET", path, params=parameters)

    def post(self, path: str, body: Json, *, headers: Mapping[str, str] | None = None) -> Json:
        """Send a JSON body."""
        return self.send("POST", path, json=body, headers=dict(headers or {}))

    def delete(self, path: str) -> Json:
        """DELETE a path; an empty answer is an empty object."""
        return self.send("DELETE", path)

    def send(self, method: str, path: str, *, refuse: bool = True, **options: Any) -> Json:
        """Send a request; with `refuse` off, JSON of any status is an answer."""
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error
        except ValueError as error:  # NaN, or half of a surrogate pair
            raise InvalidRequest(
                f"The request cannot be written as JSON in UTF-8: {plain(error, _SHOWN_CHARACTERS)}.",
                hint="Numbers have to be finite and text has to be Unicode.",
            ) from error
        if response.is_success and not response.content:
            return {}
        return read_object(response, refuse=refuse)

    def fetch(self, path: str) -> bytes:
        """The bytes of a file at a path. Raises ServiceProblem, Unavailable."""
        try:
            response = self._client.get(path)
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error
        if not response.is_success:
            read_object(response)
        return response.content

    def stream(self, path: str, *, read_seconds: float) -> Any:
        """A context manager of a streamed GET; its errors are httpx's."""
        timeout = httpx.Timeout(read_seconds, connect=5.0)
        return self._client.stream("GET", path, headers={"Accept": "text/event-stream"}, timeout=timeout)

    def download(self, path: str, target: Path, *, media_type: str) -> None:
        """Write an answer's bytes to a file, which appears whole or not at all. Raises ServiceProblem, Unavailable."""
        unfinished = target.with_name(f"{target.name}.part")
        try:
            with self._client.stream("GET", path, headers={"Accept": media_type}) as response:
                if not response.is_success:
                    response.read()
                    read_object(response)
                with unfinished.open("wb") as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
            unfinished.replace(target)
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error
        except OSError as error:
            raise InvalidRequest(
                f"{plain(target)} cannot be written: {error.strerror}.", hint="Give --out another path."
            ) from error
        finally:
            with suppress(OSError):
                unfinished.unlink()

    def unreachable(self, error: Exception) -> Unavailable:
        """What a lost connection means."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return Unavailable(
                f"No service answers at {plain(self._url)}.",
                hint="Start it with 'datainf serve', or name it with --url or DATAINF_URL.",
            )
        what = plain(str(error) or type(error).__name__, _SHOWN_CHARACTERS)
        return Unavailable(f"The connection to {plain(self._url)} was lost: {what}.")


def host_of(url: str) -> str:
    """The host of a service's URL. Raises InvalidRequest for what is none."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidRequest(f"{plain(url, 200)!r} is not an http(s) URL.", hint=f"Use one like {DEFAULT_URL}.")
    return parsed.host


def read_object(response: httpx.Response, *, refuse: bool = True) -> Json:
    """The JSON object of an answer. Raises ServiceProblem for a problem, Unavailable for what is not our API's."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and (response.is_success or not refuse):
        return body
    if isinstance(body, dict) and "detail" in body:
        raise ServiceProblem(body)
    start = plain(response.text, _SHOWN_CHARACTERS)
    raise Unavailable(
        f"The answer was not the API's: status {response.status_code}, {start!r}.",
        hint="Is this the URL of a datainf service? See --url and DATAINF_URL.",
    )


def resource_path(resource_id: str) -> str:
    """Where the resource of an id is read. Raises InvalidRequest for an id of no kind that we know."""
    collection = COLLECTIONS.get(resource_id.partition("_")[0])
    if collection is None:
        kinds = ", ".join(f"{prefix}_..." for prefix in COLLECTIONS)
        raise InvalidRequest(f"{plain(resource_id, 80)!r} is not an id.", hint=f"Ids look like {kinds}.")
    return f"/v1/{collection}/{quote(resource_id, safe='')}"


def index_path(index_id: str, collection: str) -> str:
    """Where an index is asked: its queries, sweeps or audits."""
    return f"/v1/indexes/{quote(index_id, safe='')}/{collection}"
