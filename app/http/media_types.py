"""In which form an answer goes out: the `Accept` header against what a call offers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from influence.errors import NotAcceptable

JSON_MEDIA_TYPE, MARKDOWN_MEDIA_TYPE = "application/json", "text/markdown"
CSV_MEDIA_TYPE, JSONL_MEDIA_TYPE = "text/csv", "application/jsonl"
PARQUET_MEDIA_TYPE, ZIP_MEDIA_TYPE = "application/vnd.apache.parquet", "application/zip"
#: What an answer says whose form depends on the header.
VARY = {"Vary": "Accept"}

_TOKEN = r"[!#$%&'*+.^_`|~0-9a-z-]+"
_RANGE = re.compile(rf"(?P<type>{_TOKEN})/(?P<subtype>{_TOKEN})")
_QUALITY = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?")

_SCHEMAS: dict[str, dict[str, Any]] = {
    JSON_MEDIA_TYPE: {"type": "array", "items": {"type": "object"}},
    PARQUET_MEDIA_TYPE: {"type": "string", "format": "binary"},
    ZIP_MEDIA_TYPE: {"type": "string", "format": "binary"},
}


def describe_files(media_types: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the OpenAPI document says of an answer that is a file of rows: its content by type; text where not known."""
    return {name: {"schema": _SCHEMAS.get(name, {"type": "string"})} for name in media_types}


@dataclass(frozen=True)
class MediaRange:
    """One item of an `Accept` header; `quality` is from 0 (not acceptable) to 1."""

    kind: str
    quality: float

    @property
    def specificity(self) -> int:
        """A named type before a wildcard."""
        return 0 if self.kind == "*/*" else 1 if self.kind.endswith("/*") else 2

    def takes(self, media_type: str) -> bool:
        """Whether a type lies in the range."""
        return self.kind in ("*/*", media_type) or (
            self.kind.endswith("/*") and media_type.startswith(self.kind.removesuffix("*"))
        )


def negotiate(accept: str, offered: Sequence[str]) -> str:
    """The one of `offered`, our favourite first, that an `Accept` header prefers (RFC 9110).

    Of equals a type that is named goes before one that only a wildcard takes. Items that cannot be read are passed
    over; a header that holds no other says nothing. Raises NotAcceptable.
    """
    ranges = parse_accept(accept) or [MediaRange("*/*", 1.0)]
    ratings = {media_type: _rate(media_type, ranges) for media_type in offered}
    best = max(offered, key=lambda media_type: ratings[media_type])
    if ratings[best][0] == 0:
        raise NotAcceptable(
            f"None of the forms that this call offers is acceptable to '{accept[:200]}'.",
            hint=f"Send an Accept header that allows one of {', '.join(offered)}.",
            extra={"offered": list(offered)},
        )
    return best


def parse_accept(accept: str) -> list[MediaRange]:
    """The readable items of an `Accept` header. Parameters other than `q` do not tell our types apart."""
    return [item for part in accept.lower().split(",") if (item := _parse_range(part)) is not None]


def _parse_range(text: str) -> MediaRange | None:
    kind, *parameters = (part.strip() for part in text.split(";"))
    found = _RANGE.fullmatch(kind)
    if found is None or (found["type"] == "*" and found["subtype"] != "*"):
        return None
    quality = next((value for name, _, value in (one.partition("=") for one in parameters) if name == "q"), "1")
    return MediaRange(kind, float(quality)) if _QUALITY.fullmatch(quality) else None


def _rate(media_type: str, ranges: Sequence[MediaRange]) -> tuple[float, int]:
    """Quality and specificity of the most specific range that takes a type."""
    taking = [one for one in ranges if one.takes(media_type)]
    if not taking:
        return 0.0, 0
    specificity = max(one.specificity for one in taking)
    return max(one.quality for one in taking if one.specificity == specificity), specificity


async def find_accept(
    request: Request, accept: Annotated[str, Header(description="Media types, with `q` if need be.")] = "*/*"
) -> str:
    """All `Accept` headers of the request as one."""
    return ", ".join(request.headers.getlist("accept")) or accept


Accept = Annotated[str, Depends(find_accept)]
