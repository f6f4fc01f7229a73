"""An adapter as it lies on disk, ready to be sent: PEFT's folder, or the LoRA file of an image model."""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from influence.checkpoint_files.adapters.diffusion.files import LORA_FILE, choose_lora_files
from influence.checkpoint_files.adapters.folders import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    choose_files,
    find_folders,
    list_files,
)
from influence.checkpoint_files.adapters.runs import choose_run
from influence.errors import AdapterConfigRefused, UnreadableFile, UnsupportedFormat

_LORA = ".safetensors"


@contextmanager
def open_run(path: Path) -> Iterator[IO[bytes]]:
    """The zip of a run to upload: the file itself, or the checkpoints of a folder. Raises as `open_adapter` does."""
    if path.is_dir():
        chosen = choose_run(list_files(path))
        with tempfile.TemporaryFile(prefix="datainf-run-") as archive:
            _write_zip(path, {name: name for name in chosen}, archive)
            archive.seek(0)
            yield archive
        return
    with open_adapter(path) as archive:
        yield archive


@contextmanager
def open_adapter(path: Path) -> Iterator[IO[bytes]]:
    """What to upload: a zip or a safetensors file as it is, or the files of a folder that matter, zipped in passing.

    Raises UnreadableFile, PickleRefused, UnsupportedFormat.
    """
    if path.is_dir():
        with tempfile.TemporaryFile(prefix="datainf-adapter-") as archive:
            zip_folder(path, archive)
            archive.seek(0)
            yield archive
        return
    with open_file(path, "adapter") as stream:
        if path.suffix != _LORA and not zipfile.is_zipfile(stream):
            raise UnsupportedFormat(
                f"{path} is neither a folder nor a zip.",
                hint=f"Give the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}, or a zip of it; of an image model "
                f"the {_LORA} file.",
            )
        stream.seek(0)
        yield stream


def zip_folder(folder: Path, archive: IO[bytes]) -> None:
    """Write the adapter's files, its tokenizer included; weights do not shrink, so nothing is compressed."""
    names = list(list_files(folder))
    is_lora = not find_folders(names) and any(name.endswith(_LORA) for name in names)
    try:
        chosen = choose_lora_files(names) if is_lora else choose_files(names)
    except AdapterConfigRefused as error:
        raise UnreadableFile(f"{folder} is not a PEFT adapter. {error.detail}", hint=error.hint) from error
    if not {WEIGHTS_FILE, LORA_FILE} & {*chosen.values()}:
        raise UnreadableFile(
            f"{folder} is not a PEFT adapter: {WEIGHTS_FILE} missing.",
            hint="Give the folder that model.save_pretrained(folder) wrote.",
        )
    _write_zip(folder, chosen, archive)


def _write_zip(folder: Path, chosen: Mapping[str, str], archive: IO[bytes]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path, name in chosen.items():
            # A fixed time: the same adapter makes the same bytes.
            entry = zipfile.ZipInfo(name)
            with (folder / path).open("rb") as source, target.open(entry, "w", force_zip64=True) as sink:
                while piece := source.read(1 << 20):
                    sink.write(piece)


@contextmanager
def open_file(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A file to read; raises UnreadableFile."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UnreadableFile(f"The {what} {path} cannot be read: {error.strerror}.", hint="Check the path.") from error
    with stream:
        yield stream
