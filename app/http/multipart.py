"""Multipart forms, streamed: the one file goes straight to disk, small fields to memory, both counted."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from influence.digests import digest_json
from influence.errors import InvalidRequest, TooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 1 << 20
#: Of a list that is sent an item per field.
MAX_ITEMS = 2_000
#: By RFC 2046.
MAX_BOUNDARY_BYTES = 70
#: Room in a body for boundaries and fields beside the file.
FORM_OVERHEAD_BYTES = 4 << 20
_FORM_HINT = "Send a multipart/form-data body, as 'curl -F' does."


@dataclass(frozen=True)
class Upload:
    """A received form: `path` holds the file's bytes, `digest` stands for everything that was sent.

    `filename` is None where a form came without its file and may.
    """

    path: Path
    filename: str | None
    fields: dict[str, str]
    digest: str


async def receive_upload(
    request: Request,
    folder: Path,
    *,
    file_field: str,
    fields: Collection[str],
    lists: Collection[str] = (),
    max_bytes: int,
    needs_file: bool = True,
) -> Upload:
    """Stream the form to `folder`. `lists` are fields that hold a JSON list, or are sent once per item.

    Raises TooLarge (file or field), InvalidRequest (no such form, a field that is unknown, missing or sent twice).
    """
    form = _Form(folder / "upload", file_field, fields, lists, max_bytes, needs_file)
    parser = MultipartParser(_boundary(request), form.callbacks())
    try:
        with form:
            async for chunk in request.stream():
                if chunk:
                    await run_in_threadpool(parser.write, chunk)
            parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"The form cannot be read: {str(error)[:200]}.", hint=_FORM_HINT) from error
    return form.finish()


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _boundary(request: Request) -> bytes:
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY_BYTES:
        raise InvalidRequest(
            f"The form's content type names no boundary of 1 to {MAX_BOUNDARY_BYTES} bytes.", hint=_FORM_HINT
        )
    return boundary


@dataclass
class _Form:
    """Callbacks of the parser; one part at a time."""

    path: Path
    file_field: str
    known: Collection[str]
    lists: Collection[str]
    max_bytes: int
    needs_file: bool
    filename: str | None = None
    values: dict[str, bytearray] = field(default_factory=dict)
    _items: dict[str, list[bytearray]] = field(default_factory=dict)
    _size: int = 0
    _name: str = ""
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _disposition: bytes = b""
    _ended: bool = False

    def __enter__(self) -> "_Form":
        self._file: BinaryIO = self.path.open("xb")
        self._digest = hashlib.sha256()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def finish(self) -> Upload:
        """What was received, once all of it was."""
        if not self._ended:
            raise InvalidRequest("The form ends before its last boundary.", hint=_FORM_HINT)
        if self.filename is None and self.needs_file:
            raise InvalidRequest(f"The form has no file '{self.file_field}'.", hint=_FORM_HINT)
        fields = {name: _decode(name, value) for name, value in self.values.items()}
        for name in fields.keys() & set(self.lists):
            earlier = [_decode(name, item) for item in self._items.get(name, ())]
            fields[name] = _write_list([*earlier, fields[name]])
        digest = digest_json([self._digest.hexdigest(), self.filename, fields])
        return Upload(self.path, self.filename, fields, digest)

    def _begin(self) -> None:
        self._disposition = b""

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        if bytes(name).lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _open_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode(errors="replace")
        if self._name in self.lists and self._name in self.values:
            self._add_item()
        seen = self._name in self.values or (self._name == self.file_field and self.filename is not None)
        if seen:
            raise InvalidRequest(f"The form has the field '{self._name[:80]}' twice.", hint=_FORM_HINT)
        if self._name == self.file_field:
            self.filename = options.get(b"filename", b"upload").decode(errors="replace")[:255]
        elif self._name in self.known:
            self.values[self._name] = bytearray()
        else:
            raise InvalidRequest(
                f"The form has the unknown field '{self._name[:80]}'.",
                hint=f"The fields are {', '.join([self.file_field, *self.known])}.",
            )

    def _add_item(self) -> None:
        """Put what was read of a list's field aside, before its next item."""
        items = self._items.setdefault(self._name, [])
        items.append(self.values.pop(self._name))
        if len(items) >= MAX_ITEMS or sum(map(len, items)) > MAX_FIELD_BYTES:
            raise TooLarge(f"The field '{self._name}' is sent more than {MAX_ITEMS:,} times, or too large in all.")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._name != self.file_field:
            value = self.values[self._name]
            value += data[start:end]
            if len(value) > MAX_FIELD_BYTES:
                raise TooLarge(f"The field '{self._name}' is larger than {MAX_FIELD_BYTES:,} bytes.")
            return
        self._size += end - start
        if self._size > self.max_bytes:
            raise TooLarge(
                f"The file is larger than the {self.max_bytes:,} bytes that this call takes.",
                hint="Send less, name a path under the allowed roots, or ask the operator to raise the limit.",
                extra={"max_bytes": self.max_bytes},
            )
        piece = memoryview(data)[start:end]
        self._digest.update(piece)
        self._file.write(piece)

    def _end(self) -> None:
        self._ended = True


def _write_list(items: list[str]) -> str:
    """A list as JSON, whether it came as such or an item per field. One that looks like several is not guessed at."""
    is_json = len(items) == 1 and (not items[0].strip() or items[0].lstrip()[:1] in "[{" or "," in items[0])
    return items[0] if is_json else json.dumps(items)


def _decode(name: str, value: bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The field '{name}' is not UTF-8.", hint=_FORM_HINT) from error
