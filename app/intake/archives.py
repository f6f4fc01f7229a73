"""Zip archives of strangers -> plain files in a folder. Python's own guards are missing in common builds."""

import io
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from influence.errors import TooLarge, UnreadableFile, UnsafeArchive

_PIECE_BYTES = 1 << 20
_BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError, ValueError)
#: Small files may compress as well as they like.
_RATIO_FREE_BYTES = 16 << 20
_SAYS_UTF8 = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000
#: What macOS adds to every archive.
_LITTER = re.compile(r"__MACOSX/.*|(.*/)?\.DS_Store")
_END, _END_BYTES, _LONGEST_COMMENT = b"PK\x05\x06", 22, 65_535
_LOCATOR_64, _LOCATOR_64_BYTES = b"PK\x06\x07", 20


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What one archive may hold and expand to; `member_bytes` is what a member takes in its list, on average.

    `is_read_in_place` says that no member is written to disk under its name: then names may differ by case alone, and
    have the backslashes of Windows between folders.
    """

    max_members: int = 1000
    max_file_bytes: int = 4 << 30
    max_total_bytes: int = 4 << 30
    max_ratio: int = 200
    member_bytes: int = 1024
    hint: str = "Zip the adapter folder's own files only."
    is_read_in_place: bool = False


DEFAULT_LIMITS = ArchiveLimits()


def extract_files(
    archive: Path,
    destination: Path,
    choose: Callable[[Sequence[str]], Mapping[str, str]],
    limits: ArchiveLimits = DEFAULT_LIMITS,
) -> list[str]:
    """Write the files of a zip that `choose` wants (member -> name in the folder); the rest is not unpacked.

    Answers the names written. Every member has to be harmless in name and kind, wanted or not; only wanted ones are
    opened. Raises UnsafeArchive, TooLarge, UnreadableFile, and what `choose` raises.
    """
    try:
        with archive.open("rb") as raw:
            _check_directory_size(raw, limits)
            with zipfile.ZipFile(raw) as opened:
                members = _check_members(opened.infolist(), limits)
                chosen = choose([*members])
                budget = limits.max_total_bytes
                for member, name in chosen.items():
                    budget -= _write(opened, members[member], destination / name, limits, budget)
                return [*chosen.values()]
    except _BAD_ARCHIVE as error:
        raise _unreadable(error) from error


class OpenArchive:
    """A zip whose members are read one by one, each counted while it is unpacked; nothing is written to disk."""

    def __init__(self, opened: zipfile.ZipFile, limits: ArchiveLimits) -> None:
        self._opened = opened
        self._limits = limits
        self._members = _check_members(opened.infolist(), limits)
        if sum(info.file_size for info in self._members.values()) > limits.max_total_bytes:
            raise TooLarge(f"The archive unpacks to more than {limits.max_total_bytes} bytes.", hint=limits.hint)

    @property
    def names(self) -> list[str]:
        """Members that are files, in the order in which the archive lists them."""
        return [*self._members]

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked, as the archive says."""
        return self._members[name].file_size

    def read(self, name: str, most_bytes: int) -> bytes:
        """A member's content. Raises TooLarge past `most_bytes`, UnsafeArchive and UnreadableFile."""
        sink = io.BytesIO()
        try:
            _copy(self._opened, self._members[name], sink, self._limits, most_bytes)
        except _BAD_ARCHIVE as error:
            raise _unreadable(error) from error
        return sink.getvalue()


@contextmanager
def open_archive(archive: Path, limits: ArchiveLimits) -> Iterator[OpenArchive]:
    """A zip with every member checked by name and kind. Raises UnsafeArchive, TooLarge and UnreadableFile."""
    with archive.open("rb") as raw:
        try:
            _check_directory_size(raw, limits)
            found = OpenArchive(zipfile.ZipFile(raw), limits)
        except _BAD_ARCHIVE as error:
            raise _unreadable(error) from error
        yield found


def _unreadable(error: Exception) -> UnreadableFile:
    return UnreadableFile(f"The archive cannot be read: {str(error)[:120]}.", hint="Send an ordinary zip.")


def _check_directory_size(raw: IO[bytes], limits: ArchiveLimits) -> None:
    """Refuse a huge list of members before it is read into memory."""
    size = raw.seek(0, 2)
    raw.seek(max(0, size - _END_BYTES - _LONGEST_COMMENT - _LOCATOR_64_BYTES))
    tail = raw.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_BYTES:
        raise UnreadableFile("The upload is not a zip archive.", hint="Send the adapter folder as a zip.")
    if tail[max(0, end - _LOCATOR_64_BYTES) : end].startswith(_LOCATOR_64):
        raise UnsafeArchive("The archive is a zip64 archive.", hint=limits.hint)
    # The size and not the count: it is the size that Python's reader believes.
    if int.from_bytes(tail[end + 12 : end + 16], "little") > limits.max_members * limits.member_bytes:
        raise TooLarge(f"The archive has more than {limits.max_members} members, or very long names.", hint=limits.hint)


def _check_members(infos: Sequence[zipfile.ZipInfo], limits: ArchiveLimits) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > limits.max_members:
        raise TooLarge(f"The archive has more than {limits.max_members} members.", hint=limits.hint)
    _check_overlaps(infos)
    seen: set[str] = set()
    members = {}
    hint = "Zip the folders of images again, each file once." if limits.is_read_in_place else None
    for info in infos:
        name = _check_name(info, has_backslashes=limits.is_read_in_place)
        folded = name.rstrip("/")
        folded = folded if limits.is_read_in_place else unicodedata.normalize("NFC", folded).casefold()
        if folded in seen:
            raise UnsafeArchive(f"The archive holds {_shown(name)} twice.", hint=hint)
        seen.add(folded)
        _check_kind(info, name)
        if not info.is_dir() and not _LITTER.fullmatch(name):
            members[name] = info
    return members


def _check_overlaps(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Members that share bytes are the mark of a bomb."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < 0:
            raise UnreadableFile("The front of the archive is missing.", hint="Send the whole file.")
        if info.header_offset < end:
            raise UnsafeArchive("Members of the archive overlap.")
        end = info.header_offset + info.compress_size


def _check_name(info: zipfile.ZipInfo, *, has_backslashes: bool) -> str:
    name = _as_written(info)
    if has_backslashes:
        name = name.replace("\\", "/")
    parts = name.rstrip("/").split("/")
    is_bad = (
        not name
        or len(name) > 1024
        or "\\" in name
        or re.match(r"[A-Za-z]:", name) is not None
        or any(ord(character) < 32 or ord(character) == 127 for character in name)
        or any(part in ("", ".", "..") for part in parts)
    )
    if is_bad or info.filename != info.orig_filename:
        raise UnsafeArchive(f"The archive holds a file with the unsafe name {_shown(name)}.")
    return name


def _as_written(info: zipfile.ZipInfo) -> str:
    """A member's name. macOS and others write UTF-8 without saying so, which Python reads as the letters of DOS."""
    name = info.orig_filename
    if info.flag_bits & _SAYS_UTF8 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _check_kind(info: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or ((kind == stat.S_IFDIR) and not info.is_dir()):
        raise UnsafeArchive(f"{_shown(name)} is a link or a special file.")
    if info.flag_bits & _ENCRYPTED:
        raise UnsafeArchive(f"{_shown(name)} is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsafeArchive(f"{_shown(name)} is compressed in a way that is not taken.")


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, limits: ArchiveLimits, budget: int) -> int:
    with target.open("xb") as sink:
        return _copy(opened, info, sink, limits, budget)


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, sink: IO[bytes], limits: ArchiveLimits, budget: int) -> int:
    """Unpack one member, counting what comes out rather than what the archive says."""
    written = 0
    with opened.open(info) as source:
        while piece := source.read(_PIECE_BYTES):
            written += len(piece)
            if written > min(limits.max_file_bytes, budget):
                raise TooLarge(f"{_shown(info.filename)} unpacks to more than this service takes.")
            if written > max(_RATIO_FREE_BYTES, limits.max_ratio * info.compress_size):
                raise UnsafeArchive(f"{_shown(info.filename)} unpacks to more than {limits.max_ratio} times its size.")
            sink.write(piece)
    return written


def _shown(name: str) -> str:
    return repr(name[:120])
