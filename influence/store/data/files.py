"""Files on disk, by content address: adapters, data sets, downloads. Redis never holds uploads."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Files:
    """The folders below the data directory. API and workers of one service share it."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir
        self.adapters = data_dir / "adapters"
        self.datasets = data_dir / "datasets"
        self.hub = data_dir / "hub"
        self._scratch = data_dir / "tmp"
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

    def keep(self, folder: Path, destination: Path) -> Path:
        """Move a finished folder to its address; what is there already wins, for it has the same content."""
        try:
            folder.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
        return destination

    def remove(self, folder: Path) -> None:
        """Delete a folder below the data directory."""
        shutil.rmtree(folder, ignore_errors=True)
