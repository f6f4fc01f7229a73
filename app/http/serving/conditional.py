"""What a caller has already is not sent again, and what is sent is small."""

import hashlib
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.media_types import JSON_MEDIA_TYPE, PARQUET_MEDIA_TYPE

#: Of the library that compresses answers: streams of events are left alone, and what is compressed already.
COMPRESSION: dict[str, Any] = {
    "minimum_size": 1000,
    "compresslevel": 5,
    "exclude_content_types": (*DEFAULT_EXCLUDED_CONTENT_TYPES, PARQUET_MEDIA_TYPE),
}
_TAG_CHARACTERS = 32


class ConditionalGet:
    """Gives whole JSON answers to GET an ETag by their bytes, and answers 304 where `If-None-Match` has it.

    The tag is weak: the same answer may be sent compressed or not. An ETag that a route gave stays. Callers may keep
    an answer and have to ask whether it still holds (`Cache-Control: private, no-cache`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match")
        await self._app(scope, receive, _Answer(send, known).send)


class _Answer:
    """Holds the start of an answer back until its body says whether it is whole."""

    def __init__(self, send: Send, known: str | None) -> None:
        self._send = send
        self._known = known
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _can_be_kept(message):
            self._start = message
            return
        if self._start is not None and message["type"] == "http.response.body":
            start, self._start = self._start, None
            if not message.get("more_body", False):
                message = self._tag(start, message)
            await self._send(start)
        await self._send(message)

    def _tag(self, start: Message, body: Message) -> Message:
        headers = MutableHeaders(scope=start)
        tag = headers.get("etag") or f'W/"{hashlib.sha256(body["body"]).hexdigest()[:_TAG_CHARACTERS]}"'
        headers["ETag"] = tag
        headers.setdefault("Cache-Control", "private, no-cache")
        if not names_tag(self._known, tag):
            return body
        start["status"] = 304
        del headers["Content-Length"]
        del headers["Content-Type"]
        return {**body, "body": b""}


def _can_be_kept(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and kind.partition(";")[0] == JSON_MEDIA_TYPE


def names_tag(known: str | None, tag: str) -> bool:
    """Whether `If-None-Match` has a tag, compared weakly (RFC 9110, 13.1.2)."""
    if known is None:
        return False
    given = {one.strip().removeprefix("W/") for one in known.split(",")}
    return "*" in given or tag.removeprefix("W/") in given
