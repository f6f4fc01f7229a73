"""Files on disk, by content address: adapters, data sets, images, downloads. Redis never holds uploads."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from influence.rows.images.store import INCOMING, LIST_NAME, images_beside, read_list

#: Longer than any upload is worked on without a byte being written.
ABANDONED_SECONDS = 6 * 3600.0
#: Rows on their way to their address, and downloads.
_UNFINISHED = (".incoming-*", "incoming-*", "download-*")


class Files:
    """The folders below the data directory. API and workers of one service share it."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir
        self.adapters = data_dir / "adapters"
        self.datasets = data_dir / "datasets"
        self.hub = data_dir / "hub"
        self._scratch = data_dir / "tmp"
        self.images = images_beside(self.datasets)
        for folder in (self.adapters, self.datasets, self.hub, self._scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def adapter(self, digest: str) -> Path:
        """Folder of an adapter's files."""
        return self.adapters / digest

    def dataset(self, dataset_id: str) -> Path:
        """Folder of a data set's row file."""
        return self.datasets / dataset_id

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is gone afterwards, on the same file system as the rest."""
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, *, older_than_seconds: float = ABANDONED_SECONDS) -> list[Path]:
        """Remove what a process that was killed left half-made and nobody has written to for so long; answers what."""
        before = time.time() - older_than_seconds
        unfinished = [
            *self._scratch.iterdir(),
            *(path for mark in _UNFINISHED for path in self.datasets.glob(mark)),
            *self.images.root.glob(INCOMING),
        ]
        abandoned = [path for path in unfinished if _last_written(path) < before]
        for path in abandoned:
            shutil.rmtree(path, ignore_errors=True)
        return abandoned

    def keep(self, folder: Path, destination: Path) -> Path:
        """Move a finished folder to its address; what is there already wins, for it has the same content."""
        try:
            folder.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
        return destination

    def remove_dataset(self, dataset_id: str) -> None:
        """Delete the rows of a data set, and its images that are in no other one."""
        folder = self.dataset(dataset_id)
        if not (folder / LIST_NAME).is_file():
            self.remove(folder)
            return
        with self.images.locked():
            own = set(read_list(folder / LIST_NAME))
            self.remove(folder)
            self.images.remove_unlisted(own, self.datasets.glob(f"*/{LIST_NAME}"))

    def remove(self, folder: Path) -> None:
        """Delete a folder below the data directory."""
        shutil.rmtree(folder, ignore_errors=True)


def _last_written(path: Path) -> float:
    """When a folder or anything in it was last written; now where it just went away."""
    try:
        return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
    except FileNotFoundError:
        return time.time()
