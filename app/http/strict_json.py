"""Request bodies as JSON that every reader understands alike."""

import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from influence.errors import DatainfError, InvalidRequest, UnsupportedFormat

JSON_HINT = "Send valid JSON: UTF-8, no NaN or Infinity, no name twice in an object."


#: Deeper than any row or request is; what reads and writes JSON by recursion ends at some hundreds.
MAX_DEPTH = 100
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class StrictRequest(Request):
    """A request whose JSON is parsed by `parse_json`."""

    async def json(self) -> Any:
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route that takes JSON bodies with a JSON content type and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            if self.body_field is not None:
                require_json_type(request)
            try:
                return await handle(StrictRequest(request.scope, request.receive))
            except HTTPException as error:
                # The framework turns what reading a body raises into a plain 400.
                if isinstance(error.__cause__, DatainfError):
                    raise error.__cause__ from None
                raise

        return handle_strictly


def require_json_type(request: Request) -> None:
    """Raise UnsupportedFormat unless the content type is JSON (or there is no body at all)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return
    if not kind and request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return
    raise UnsupportedFormat(
        f"The body's content type is '{kind[:80]}', this call takes application/json.",
        hint="Send the header 'Content-Type: application/json'.",
    )


def parse_json(text: bytes | str) -> Any:
    """Parse JSON; raises InvalidRequest for NaN, infinities, whole numbers beyond 64 bits, repeated names, bad UTF-8,
    halves of surrogate pairs and nesting deeper than MAX_DEPTH: what is taken here can be written again."""
    try:
        # Decoded here: json would take UTF-16, and halves of surrogate pairs as they stand.
        known = text if isinstance(text, str) else text.decode("utf-8-sig")
        value = json.loads(known, **_HOOKS)
        _check_depth(known, value)
        if _SURROGATE.search(known):
            _check_text(value)
        return value
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The JSON breaks at line {error.lineno}, column {error.colno}: {error.msg}.", hint=JSON_HINT
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {str(error)[:200]}.", hint=JSON_HINT) from error


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a surrogate pair") from error


def _check_depth(text: str, value: Any) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    layer = _containers([value])
    for _ in range(MAX_DEPTH):
        layer = [inner for outer in layer for inner in _containers(outer)]
    if layer:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _containers(items: Any) -> list[Any]:
    found = items.values() if isinstance(items, dict) else items
    return [item for item in found if isinstance(item, dict | list)]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same name twice")
    return found


_HOOKS: dict[str, Any] = {
    "parse_constant": _refuse_constant,
    "parse_float": _finite,
    "parse_int": _whole,
    "object_pairs_hook": _unique,
}
