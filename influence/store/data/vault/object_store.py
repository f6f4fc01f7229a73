"""Any object store that `obstore` speaks to: S3, Google Cloud Storage, Azure, or a mounted folder, by URL.

<address>/<generation>/<name>   the files, written first
<address>/manifest.json         names, sizes and checksums, written last: one request, whole or not at all

A publication writes below a generation of its own, and a deletion removes the manifest first and then what it named, so
that neither ever meets half of another. Files go up and come down in pieces: memory does not grow with them.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url
from ulid import ULID

from influence.contracts.common import now
from influence.errors import FilesUnavailable, Internal
from influence.store.data.vault.port import Content, FileEntry, Manifest

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

#: A folder that every machine mounts.
FOLDER = "file://"
KINDS = ("adapters", "datasets", "indexes")
MANIFEST = "manifest.json"
#: One request's bytes on the way down, and a part's on the way up.
PIECE_BYTES = 16 << 20
#: Parts of one file that are on the way up at once.
_PARTS_AT_ONCE = 2
#: A request that takes longer than this for PIECE_BYTES is tried again. Who names an endpoint without TLS means it.
_CLIENT: "ClientConfig" = {"timeout": "120s", "connect_timeout": "5s", "allow_http": True}
_RETRIES: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}


class ObjectVault:
    """The object store at a URL; the environment says with which credentials (`AWS_*`, `GOOGLE_*`, `AZURE_*`)."""

    is_elsewhere = True

    def __init__(self, url: str) -> None:
        self._store = _open(url)

    def publish(self, files: Mapping[str, Path], address: str) -> None:
        """Upload the files, then the manifest; what replaces a damaged publication removes it."""
        with _answering():
            before = self._manifest(address)
            if before is not None and self._is_whole(address, before):
                return
            generation = str(ULID())
            entries = {name: self._upload(path, f"{address}/{generation}/{name}") for name, path in files.items()}
            manifest = Manifest(generation=generation, files=entries)
            obstore.put(self._store, f"{address}/{MANIFEST}", manifest.model_dump_json().encode())
            if before is not None:
                self._remove_files(address, before)

    def fetch(self, address: str, folder: Path) -> bool:
        """Download the files of an address, each checked; one that was replaced meanwhile is begun again."""
        with _answering():
            manifest = self._manifest(address)
            while manifest is not None:
                try:
                    for name, entry in manifest.files.items():
                        self._download(f"{address}/{manifest.generation}/{name}", entry, _place(folder, name, address))
                    return True
                except FileNotFoundError as error:
                    current = self._manifest(address)
                    if current == manifest:
                        raise _damaged(address, "a file is gone") from error
                    manifest = current
        return False

    def read(self, address: str, name: str, start: int, stop: int | None) -> Content | None:
        """A part is not checked here: a checksum is of a whole file."""
        with _answering():
            manifest = self._manifest(address)
            entry = None if manifest is None else manifest.files.get(name)
            if manifest is None or entry is None or (stop is not None and stop > entry.bytes):
                return None
            path = f"{address}/{manifest.generation}/{name}"
            try:
                if stop is not None and stop <= start:
                    return b""
                if stop is not None:
                    return memoryview(obstore.get_range(self._store, path, start=start, end=stop))
                content = bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise _damaged(address, "a checksum is another")
        return content[start:]

    def remove(self, address: str) -> None:
        """The manifest goes first: what it named is not there any more from then on."""
        with _answering():
            try:
                manifest = self._manifest(address)
            except Internal:  # it cannot be read, and so names nothing
                manifest = Manifest(generation="", files={})
            if manifest is not None:
                self._delete(f"{address}/{MANIFEST}")
                self._remove_files(address, manifest)

    def holds(self, address: str) -> bool:
        """By its manifest alone."""
        with _answering():
            return self._manifest(address) is not None

    def addresses(self, kind: str) -> Iterator[str]:
        """By their folders; one without a manifest is on its way."""
        with _answering():
            for prefix in obstore.list_with_delimiter(self._store, f"{kind}/")["common_prefixes"]:
                yield prefix.rstrip("/")

    def write_once(self, name: str, content: bytes) -> bytes:
        """The store decides who was first."""
        with _answering():
            with suppress(AlreadyExistsError):
                obstore.put(self._store, name, content, mode="create")
            return bytes(obstore.get(self._store, name).bytes())

    def write(self, name: str, content: bytes) -> None:
        """By one request."""
        with _answering():
            obstore.put(self._store, name, content)

    def load(self, name: str) -> bytes | None:
        """By one request."""
        with _answering():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def discard(self, name: str) -> None:
        """By one request."""
        with _answering():
            self._delete(name)

    def names(self, prefix: str) -> Iterator[str]:
        """A request for each thousand."""
        with _answering():
            for batch in obstore.list(self._store, f"{prefix}/"):
                yield from (found["path"] for found in batch)

    def sweep(self, *, older_than_seconds: float) -> int:
        """Files of generations that no manifest names."""
        before = now() - timedelta(seconds=older_than_seconds)
        old: defaultdict[str, list[str]] = defaultdict(list)
        with _answering():
            for kind in KINDS:
                for batch in obstore.list(self._store, f"{kind}/"):
                    for found in batch:
                        if found["last_modified"] < before and found["path"].count("/") > 2:
                            old["/".join(found["path"].split("/")[:2])].append(found["path"])
            lost = [path for address, paths in old.items() for path in self._unnamed(address, paths)]
            for path in lost:
                self._delete(path)
        return len(lost)

    def _unnamed(self, address: str, paths: list[str]) -> list[str]:
        manifest = self._manifest(address)
        generation = None if manifest is None else manifest.generation
        return [path for path in paths if path.split("/")[2] != generation]

    def _manifest(self, address: str) -> Manifest | None:
        try:
            return Manifest.model_validate_json(bytes(obstore.get(self._store, f"{address}/{MANIFEST}").bytes()))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise _damaged(address, "its manifest cannot be read") from error

    def _is_whole(self, address: str, manifest: Manifest) -> bool:
        try:
            return all(
                obstore.head(self._store, f"{address}/{manifest.generation}/{name}")["size"] == entry.bytes
                for name, entry in manifest.files.items()
            )
        except FileNotFoundError:
            return False

    def _upload(self, path: Path, name: str) -> FileEntry:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        obstore.put(self._store, name, path, chunk_size=PIECE_BYTES, max_concurrency=_PARTS_AT_ONCE)
        return FileEntry(bytes=path.stat().st_size, sha256=digest)

    def _download(self, name: str, entry: FileEntry, path: Path) -> None:
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for start in range(0, entry.bytes, PIECE_BYTES):
                end = min(start + PIECE_BYTES, entry.bytes)
                piece = memoryview(obstore.get_range(self._store, name, start=start, end=end))
                digest.update(piece)
                file.write(piece)
        if path.stat().st_size != entry.bytes or digest.hexdigest() != entry.sha256:
            raise _damaged(name, "its checksum is another")

    def _remove_files(self, address: str, manifest: Manifest) -> None:
        for name in manifest.files:
            self._delete(f"{address}/{manifest.generation}/{name}")

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(self._store, path)


def _open(url: str) -> "ObjectStore":
    if url.startswith(FOLDER):
        return LocalStore(url.removeprefix(FOLDER), mkdir=True, automatic_cleanup=True)
    return from_url(url, config=None, client_options=_CLIENT, retry_config=_RETRIES)


def _place(folder: Path, name: str, address: str) -> Path:
    """Where a file goes. Whoever can write to the store must not choose where on this machine."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise _damaged(address, "a file's name leads elsewhere")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _damaged(what: str, how: str) -> Internal:
    return Internal(f"The stored files of {what} are damaged: {how}.", hint="Delete it, then send it again.")


@contextmanager
def _answering() -> Iterator[None]:
    """Say in our own words that the store does not answer; what is not there stays as it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except BaseError as error:
        cause = str(error).partition("\n")[0][:200]
        raise FilesUnavailable(f"The object store does not answer, or refuses: {cause}") from error
