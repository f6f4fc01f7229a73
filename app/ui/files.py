"""The page's files, read once: a first view asks for dozens, and each read from disk changes threads several times."""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import Response

from app.http.serving.conditional import names_tag

_TAG_CHARACTERS = 32


@dataclass(frozen=True)
class PageFile:
    """A file as it goes out. `tag` is its ETag, by its bytes: weak, for it may go out compressed."""

    content: bytes
    media_type: str
    tag: str


def read_files(folder: Path) -> dict[str, PageFile]:
    """All files below a folder, by their paths below it."""
    return {
        path.relative_to(folder).as_posix(): _read_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def answer_file(file: PageFile, known: str | None, headers: dict[str, str]) -> Response:
    """The file, or 304 where `If-None-Match` names it."""
    headers = {**headers, "ETag": file.tag}
    if names_tag(known, file.tag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _read_file(path: Path) -> PageFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:_TAG_CHARACTERS]
    return PageFile(content, mimetypes.guess_type(path.name)[0] or "application/octet-stream", f'W/"{digest}"')
