"""Files on disk: adapters, data sets, images, downloads by content address, and finished indexes by build.

They are kept in the data directory; or in an object store, and the data directory copies what its processes need.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from influence.rows.file import ROW_FILES
from influence.rows.images.store import INCOMING, LIST_NAME, images_beside, read_list
from influence.settings import StorageSettings
from influence.store.access.secret import SECRET_FILE, read_secret
from influence.store.data.vault.cache import IN_USE_SECONDS, LocalCopies, vanish
from influence.store.data.vault.images import PACK_NAME, pack_images, unpack_images
from influence.store.data.vault.index_folders import KIND as INDEXES
from influence.store.data.vault.index_folders import IndexFolders
from influence.store.data.vault.index_values import IndexValues
from influence.store.data.vault.port import InPlace, Vault
from influence.store.data.vault.record_copies import RecordCopies

#: Longer than any upload is worked on without a byte being written.
ABANDONED_SECONDS = 6 * 3600.0
#: Rows on their way to their address, and downloads.
_UNFINISHED = (".incoming-*", "incoming-*", "download-*")


def open_files(settings: StorageSettings) -> "Files":
    """The files that the settings name. Nothing is sent to an object store yet."""
    if settings.files_url is None:
        return Files(settings.data_dir)
    # Of an extra that a service with one data directory does without.
    from influence.store.data.vault.object_store import ObjectVault

    return Files(settings.data_dir, ObjectVault(settings.files_url), cache_bytes=settings.files_cache_bytes)


class Files:
    """The folders below the data directory. API and workers of one service share it, or what `vault` keeps.

    Asking for an adapter or a data set raises FilesUnavailable where it is not here and the vault does not answer.
    """

    def __init__(
        self,
        data_dir: Path,
        vault: Vault | None = None,
        *,
        cache_bytes: int = 0,
        in_use_seconds: float = IN_USE_SECONDS,
    ) -> None:
        self.root = data_dir
        self.adapters = data_dir / "adapters"
        self.datasets = data_dir / "datasets"
        self.hub = data_dir / "hub"
        self.vault: Vault = vault or InPlace(data_dir)
        self._scratch = data_dir / "tmp"
        self._secret: bytes | None = None
        self.images = images_beside(self.datasets)
        for folder in (self.adapters, self.datasets, self.hub, self._scratch, data_dir / INDEXES):
            folder.mkdir(parents=True, exist_ok=True)
        self.indexes = IndexValues(IndexFolders(data_dir / INDEXES, self.vault, self.scratch))
        self.records = RecordCopies(self.vault)
        self._copies = LocalCopies((self.adapters, self.datasets), cache_bytes, self._leave, in_use_seconds)

    def adapter(self, digest: str) -> Path:
        """Folder of an adapter's files; there is none where nobody has them."""
        folder = self.adapters / digest
        return self._copies.find(folder, lambda: self._fetch(folder)) if self.vault.is_elsewhere else folder

    def dataset(self, dataset_id: str) -> Path:
        """Folder of a data set's row file; there is none where nobody has it. Its images are where they belong."""
        folder = self.datasets / dataset_id
        return self._copies.find(folder, lambda: self._fetch(folder)) if self.vault.is_elsewhere else folder

    def secret(self) -> bytes:
        """The secret that hashes of API keys are made with: one for all who share the files, made by who asks first."""
        if self._secret is None:
            self._secret = self.vault.write_once(SECRET_FILE, read_secret(self.root))
        return self._secret

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is gone afterwards, on the same file system as the rest."""
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, *, older_than_seconds: float = ABANDONED_SECONDS) -> list[Path]:
        """Remove what a process that was killed left half-made and nobody has written to for so long, images that no
        data set names among it; answers what."""
        before = time.time() - older_than_seconds
        unfinished = [
            *self._scratch.iterdir(),
            *(path for mark in _UNFINISHED for path in self.datasets.glob(mark)),
            *self.images.root.glob(INCOMING),
        ]
        abandoned = [path for path in unfinished if _last_written(path) < before]
        for path in abandoned:
            shutil.rmtree(path, ignore_errors=True)
        return abandoned + self.images.sweep(self.datasets.glob(f"*/{LIST_NAME}"), before=before)

    def keep_adapter(self, folder: Path, digest: str) -> None:
        """Move a finished folder to its address; what is there already wins, for it has the same content.

        Published first: whoever finds it here may rely on finding it elsewhere.
        """
        self.vault.publish(_files_below(folder), _address(self.adapters / digest))
        _settle(folder, self.adapters / digest)

    def holds_adapter(self, digest: str) -> bool:
        """Whether anybody has an adapter's files, whole."""
        return self._holds(self.adapters / digest)

    def holds_dataset(self, dataset_id: str) -> bool:
        """Whether anybody has the rows of a data set, whole."""
        return self._holds(self.datasets / dataset_id)

    def _holds(self, folder: Path) -> bool:
        return self.vault.holds(_address(folder)) if self.vault.is_elsewhere else folder.is_dir()

    def publish_dataset(self, dataset_id: str) -> None:
        """Make rows that were written to their address, and their images, known to all who share the files."""
        if self.vault.is_elsewhere:
            self._publish_rows(self.datasets / dataset_id)
            self._copies.shrink()

    def publish_missing(self) -> list[Path]:
        """Publish what only this machine has, as one that had no object store before; answers what."""
        missing = [copy.folder for copy in self._copies.all() if not self.vault.holds(_address(copy.folder))]
        for folder in missing:
            if folder.parent == self.datasets:
                self._publish_rows(folder)
            else:
                self.vault.publish(_files_below(folder), _address(folder))
        return missing + self.indexes.folders.publish_missing()

    def _publish_rows(self, folder: Path) -> None:
        files = {name: folder / name for name in (*ROW_FILES, LIST_NAME) if (folder / name).is_file()}
        with self.scratch() as scratch:
            if LIST_NAME in files:
                pack_images(self.images, read_list(files[LIST_NAME]), scratch / PACK_NAME)
                files[PACK_NAME] = scratch / PACK_NAME
            self.vault.publish(files, _address(folder))

    def remove_adapter(self, digest: str) -> None:
        """Delete an adapter's files, elsewhere first."""
        self.vault.remove(_address(self.adapters / digest))
        self._drop(self.adapters / digest)

    def remove_dataset(self, dataset_id: str) -> None:
        """Delete the rows of a data set, and its images that are in no other one; elsewhere first."""
        self.vault.remove(_address(self.datasets / dataset_id))
        self._drop(self.datasets / dataset_id)

    def forget(self, is_gone: Callable[[Path], bool]) -> list[Path]:
        """Drop local copies of what others deleted; answers which. Nothing where the data directory is no copy."""
        gone = self._copies.unused(is_gone) if self.vault.is_elsewhere else []
        for folder in gone:
            self._drop(folder)
        return gone

    def _leave(self, folder: Path) -> None:
        """Make room: only what is kept elsewhere may go."""
        if self.vault.holds(_address(folder)):
            self._drop(folder)

    def _drop(self, folder: Path) -> None:
        """Remove a folder of an adapter or of a data set from this machine, with the images that are its alone."""
        if not (folder / LIST_NAME).is_file():
            self._remove(folder)
            return
        with self.images.locked():
            own = set(read_list(folder / LIST_NAME))
            self._remove(folder)
            self.images.remove_unlisted(own, self.datasets.glob(f"*/{LIST_NAME}"))

    def _remove(self, folder: Path) -> None:
        with self.scratch() as scratch:
            vanish(folder, scratch)

    def _fetch(self, folder: Path) -> None:
        """Bring a folder from where it is kept: whole, with its images, or not at all."""
        with self.scratch() as scratch:
            made = scratch / folder.name
            made.mkdir()
            if not self.vault.fetch(_address(folder), made):
                return
            if not (made / PACK_NAME).is_file():
                _settle(made, folder)
                return
            with self.images.staging() as staged:
                unpack_images(made / PACK_NAME, staged)
                (made / PACK_NAME).unlink()
                with self.images.locked():
                    self.images.publish(staged)
                    _settle(made, folder)


def _address(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _files_below(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _settle(made: Path, folder: Path) -> None:
    """Move a folder to its place; where another process was faster, what it brought is the same."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _last_written(path: Path) -> float:
    """When a folder or anything in it was last written; now where it just went away."""
    try:
        return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
    except FileNotFoundError:
        return time.time()
