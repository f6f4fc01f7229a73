"""The Redis values of finished indexes as files: what Redis lost of them is read back.

<build>/values       the values one after another, as they are in Redis, each with the checksum that it has there
<build>/table.json   sealed: where each begins and ends, its checksum again, and the index's two hashes

A value is read with those beside it, in pages of `PAGE_BYTES`: an index that is read from its beginning takes one
request a page, however small its shards are.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from isal.isal_zlib import crc32
from pydantic import Field

from influence.contracts.common import Frozen
from influence.errors import Internal
from influence.process.lru import Lru
from influence.store import keys
from influence.store.data.sealed import seal, unseal
from influence.store.data.vault.index_folders import IndexFolders
from influence.store.data.vault.port import Content

log = structlog.get_logger()

VALUES, TABLE = "values", "table.json"
PAGE_BYTES = 16 << 20
_TABLES_KEPT = 8
#: As many pages as readers are at: two of an index or of each of two parts, and an index that is read besides. With
#: fewer each page would be read anew for each of its values.
_PAGES_KEPT = 8
#: Values that one call reads, whose number of buffers is bounded (IOV_MAX), as is that of their bytes (2 GiB).
_VALUES_PER_READ = 256


#: Values by their keys, views of the bytes that were read together.
Page = dict[str, Content]


class StoredValue(Frozen):
    """Where a value lies among the others; `crc32` is of all of it, its header included."""

    key: str
    start: int = Field(ge=0)
    bytes: int = Field(ge=0)
    crc32: int

    @property
    def stop(self) -> int:
        return self.start + self.bytes


class ValueTable(Frozen):
    """All values of a build in order, and its hashes: commits by shard, shapes by the name of the array."""

    version: Literal[1] = 1
    build: str
    values: tuple[StoredValue, ...]
    commits: dict[str, str]
    manifest: dict[str, str]


@dataclass(frozen=True)
class _Opened:
    """A table that was checked, and the number of each value's page."""

    pages: tuple[tuple[StoredValue, ...], ...]
    page_of: Mapping[str, int]
    values: Mapping[str, StoredValue]
    table: ValueTable


class IndexValues:
    """Values of finished compact indexes in folders. Each method raises FilesUnavailable where those do not answer."""

    def __init__(self, folders: IndexFolders) -> None:
        self.folders = folders
        self._tables: Lru[str, _Opened | None] = Lru(_TABLES_KEPT)
        self._pages: Lru[tuple[str, int], Page] = Lru(_PAGES_KEPT)

    def write(
        self, build: str, values: Iterable[tuple[str, bytes]], commits: Mapping[str, str], manifest: Mapping[str, str]
    ) -> int:
        """Keep the values of a build, by their keys: all of them or none, one in memory at a time; answers their
        bytes. Whatever `values` raises is raised, and nothing is kept."""
        with self.folders.scratch() as scratch:
            made = scratch / build
            made.mkdir()
            stored = _write_values(made / VALUES, values)
            table = ValueTable(build=build, values=tuple(stored), commits=dict(commits), manifest=dict(manifest))
            _write_whole(made / TABLE, seal(table.model_dump_json()).encode())
            self.folders.keep(made, build)
        self._forget(build)
        return stored[-1].stop if stored else 0

    def table(self, build: str) -> ValueTable | None:
        """The table of a build; None where there is none that can be read."""
        opened = self._open(build)
        return None if opened is None else opened.table

    def fill(self, build: str, wanted: Mapping[str, Sequence[memoryview]]) -> set[str]:
        """Read values, which are not checked, from this machine's files, each into its buffers one after another;
        answers the keys of those that they have, of just this length: none where they are elsewhere."""
        opened = None if self.folders.are_elsewhere else self._open(build)
        if opened is None:
            return set()
        named = (opened.values[key] for key in wanted if key in opened.values)
        found = set[str]()
        for run in _join(value for value in named if value.bytes == sum(map(len, wanted[value.key]))):
            buffers = [buffer for value in run for buffer in wanted[value.key]]
            if self.folders.fill(build, VALUES, run[0].start, buffers):
                found |= {value.key for value in run}
        return found

    def page(self, build: str, key: str, hear: Callable[[Page], None] = lambda _page: None) -> Page:
        """A value with those beside it, by their keys, those alone that match their checksums; none where the value is
        not kept. `hear` is told of them once, when they are read."""
        opened = self._open(build)
        number = None if opened is None else opened.page_of.get(key)
        if opened is None or number is None:
            return {}
        return self._pages.get((build, number), lambda: self._read_page(build, opened.pages[number], hear))

    def page_at_hand(self, build: str, key: str) -> Page:
        """The same where it was read a moment ago; else none."""
        opened = self._tables.find(build)
        number = None if opened is None else opened.page_of.get(key)
        return {} if number is None else self._pages.find((build, number)) or {}

    def remove(self, name: str, *, spared: str | None = None) -> None:
        """Remove a build, or all builds of an index where an index's id is given, but for one that is spared."""
        builds = [name] if "." in name else self.folders.builds(f"{name}.")
        for build in builds:
            if build != spared:
                self.folders.remove(build)
                self._forget(build)

    def _forget(self, build: str) -> None:
        self._tables.forget(lambda kept: kept == build)
        self._pages.forget(lambda kept: kept[0] == build)

    def _open(self, build: str) -> _Opened | None:
        opened = self._tables.get(build, lambda: self._read_table(build))
        if opened is None:  # it may be there a moment later
            self._tables.forget(lambda kept: kept == build)
        return opened

    def _read_table(self, build: str) -> _Opened | None:
        try:
            text = self.folders.read(build, TABLE)
            if text is None:
                return None
            table = ValueTable.model_validate_json(unseal(bytes(text)))
            _check_table(table, build)
        except (ValueError, Internal) as error:
            log.error("the files of an index cannot be read", build=build, error=str(error)[:200])
            return None
        pages = tuple(_cut(table.values))
        numbers = {value.key: number for number, page in enumerate(pages) for value in page}
        return _Opened(pages, numbers, {value.key: value for value in table.values}, table)

    def _read_page(self, build: str, page: tuple[StoredValue, ...], hear: Callable[[Page], None]) -> Page:
        first = page[0].start
        try:
            content = memoryview(self.folders.read(build, VALUES, first, page[-1].stop) or b"")
        except Internal as error:
            log.error("the files of an index cannot be read", build=build, error=str(error)[:200])
            return {}
        found: Page = {value.key: content[value.start - first : value.stop - first] for value in page}
        whole = {value.key for value in page if crc32(found[value.key]) == value.crc32}
        if len(whole) < len(page):
            log.error("files of an index are damaged", build=build, values=len(page) - len(whole))
        kept = {key: value for key, value in found.items() if key in whole}
        hear(kept)
        return kept


def _write_values(path: Path, values: Iterable[tuple[str, bytes]]) -> list[StoredValue]:
    stored, start = [], 0
    with path.open("wb") as file:
        for key, value in values:
            file.write(value)
            stored.append(StoredValue(key=key, start=start, bytes=len(value), crc32=crc32(value)))
            start += len(value)
        file.flush()
        os.fsync(file.fileno())
    return stored


def _write_whole(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _cut(values: Iterable[StoredValue]) -> Iterable[tuple[StoredValue, ...]]:
    page: list[StoredValue] = []
    for value in values:
        if page and value.stop - page[0].start > PAGE_BYTES:
            yield tuple(page)
            page = []
        page.append(value)
    if page:
        yield tuple(page)


def _join(values: Iterable[StoredValue]) -> Iterable[list[StoredValue]]:
    """Values that lie one after another, so many as one call reads."""
    run: list[StoredValue] = []
    for value in values:
        if run and (value.start != run[-1].stop or len(run) == _VALUES_PER_READ):
            yield run
            run = []
        run.append(value)
    if run:
        yield run


def _check_table(table: ValueTable, build: str) -> None:
    """What a table names becomes keys: whoever can write to the store must not choose other than this build's."""
    own = re.compile(rf"{re.escape(keys.PREFIX)}{{{re.escape(build)}(\.\d+)?}}:[\w.-]+:\d+")
    if table.build != build:
        raise ValueError(f"the table is of {table.build[:80]}")
    stop = 0
    for value in table.values:
        if value.start != stop or own.fullmatch(value.key) is None:
            raise ValueError(f"the table holds {value.key[:80]!r}, which is no value of it")
        stop = value.stop
