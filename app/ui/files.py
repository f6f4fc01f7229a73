"""The page's files, read and compressed once: a first view asks for all of its own at the same time."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import Response

from app.http.serving.conditional import names_tag
from app.ui.modules import join_modules

_TAG_CHARACTERS = 32


@dataclass(frozen=True)
class PageFile:
    """A file as it goes out, `packed` by gzip. `tag` is its ETag, by its bytes: weak, for it goes out in both forms."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str


def read_files(folder: Path) -> dict[str, PageFile]:
    """All that goes out of a folder, by paths below it: scripts joined, other files as they are."""
    others = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".js"]
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in others}
    if any(folder.rglob("*.js")):
        contents |= {path: text.encode() for path, text in join_modules(folder).items()}
    return {path: _make_file(path, content) for path, content in contents.items()}


def answer_file(file: PageFile, asked: Mapping[str, str], headers: dict[str, str]) -> Response:
    """The file, compressed for who takes that, or 304 where `If-None-Match` names it.

    `asked` are headers of the request, found whatever their case.
    """
    headers = {**headers, "ETag": file.tag, "Vary": "Accept-Encoding"}
    if names_tag(asked.get("if-none-match"), file.tag):
        return Response(status_code=304, headers=headers)
    if "gzip" not in asked.get("accept-encoding", ""):
        return Response(file.content, media_type=file.media_type, headers=headers)
    return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})


def _make_file(path: str, content: bytes) -> PageFile:
    digest = hashlib.sha256(content).hexdigest()[:_TAG_CHARACTERS]
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return PageFile(content, gzip.compress(content, mtime=0), media_type, f'W/"{digest}"')
