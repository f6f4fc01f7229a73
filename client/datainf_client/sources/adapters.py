"""A PEFT adapter as it lies on disk, ready to be sent."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from datainf_client.http.errors import ServiceError
from datainf_client.sources.rows import open_file

_CONFIG_FILE = "adapter_config.json"
#: Adapter, tokenizer and chat template. Weights that are pickled and a trainer's state stay where they are.
_SENT_SUFFIXES = {".json", ".safetensors", ".model", ".txt", ".jinja"}


@contextmanager
def open_adapter(path: Path) -> Iterator[IO[bytes]]:
    """The zip to upload: the file itself, or the files of a folder that matter, zipped in passing.

    Raises ServiceError for what holds no adapter.
    """
    if path.is_dir():
        with tempfile.TemporaryFile(prefix="datainf-adapter-") as archive:
            _zip_folder(path, archive)
            archive.seek(0)
            yield archive
        return
    with open_file(path, "adapter") as stream:
        yield stream


def _zip_folder(folder: Path, archive: IO[bytes]) -> None:
    """Weights do not shrink, so nothing is compressed; with fixed times the same adapter makes the same bytes."""
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _SENT_SUFFIXES)
    if not any(path.name == _CONFIG_FILE for path in found) or not any(path.suffix == ".safetensors" for path in found):
        raise ServiceError(
            f"{folder} is not a PEFT adapter: {_CONFIG_FILE} with weights as safetensors is missing.",
            code="invalid_request",
            hint="Give the folder that model.save_pretrained(folder) wrote.",
        )
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in found:
            with path.open("rb") as source, target.open(zipfile.ZipInfo(path.name), "w", force_zip64=True) as sink:
                while piece := source.read(1 << 20):
                    sink.write(piece)
