"""Which files of an upload are an adapter's own, by their names alone, however trainers lay their folders.

An adapter lies where its adapter_config.json does; its tokenizer lies beside it or in a folder around it. Everything
else that a trainer leaves (optimizer, scheduler, random states) is nobody's business here and never opened. Of the
trainer's pickled arguments words are listed, and nothing is loaded: see `pickled_words`.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from influence.checkpoint_files.adapters.notes.pickled_arguments import PICKLED
from influence.checkpoint_files.adapters.notes.plain_notes import NOTE_FILES
from influence.checkpoint_files.task.processor import PROCESSOR_FILE
from influence.checkpoint_files.tokenizers.settings import TOKENIZER_FILES
from influence.checkpoint_files.tokenizers.template_files import choose_named
from influence.errors import AdapterConfigRefused, PickleRefused, TooLarge

CONFIG_FILE, WEIGHTS_FILE, MODEL_CONFIG_FILE = "adapter_config.json", "adapter_model.safetensors", "config.json"
#: What is kept of the adapter's folder itself.
OWN_FILES = (CONFIG_FILE, WEIGHTS_FILE, MODEL_CONFIG_FILE, PROCESSOR_FILE)
#: An adapter that was the reference of preference training, not the base: names of its folder, and of what is kept.
_REFERENCES, REFERENCE_FILE = ("ref", "reference", "ref_model"), "reference_adapter_config.json"
#: Folders of a run's checkpoints, by steps or, as torchtune numbers them, by epochs.
STEP = re.compile(r"(checkpoint|step|global_step|epoch)[-_](\d{1,12})")
EPOCH = "epoch"
_PICKLED = ("adapter_model.bin", "adapter_model.pt")
_SHOWN = 10
#: How deep an adapter may lie below a folder that is named, and how many files are looked at on the way.
_MAX_DEPTH, _MAX_FILES = 4, 10_000


def choose_files(names: Iterable[str]) -> dict[str, str]:
    """The files of the one adapter among relative paths: path -> plain name.

    Raises AdapterConfigRefused where there is none or more than one, PickleRefused where its weights are pickled only.
    """
    paths = {str(PurePosixPath(name)) for name in names}
    return choose_files_in(_choose_folder(paths), paths)


def choose_files_in(folder: str, paths: set[str]) -> dict[str, str]:
    """The same for the adapter of one folder. Raises PickleRefused."""
    own = {name: _join(folder, name) for name in OWN_FILES}
    pickled = [name for name in _PICKLED if _join(folder, name) in paths]
    if pickled and own[WEIGHTS_FILE] not in paths:
        raise PickleRefused(f"The adapter's weights are pickled ({pickled[0]}).")
    opening = _join(folder, "adapter_model-0")
    shards = [path for path in paths if path.startswith(opening) and path.endswith(".safetensors")]
    if shards and own[WEIGHTS_FILE] not in paths:
        raise AdapterConfigRefused(
            f"The adapter's weights lie in {len(shards)} files.",
            hint=f"Save it in one: save_pretrained(folder, max_shard_size='1TB') writes {WEIGHTS_FILE}.",
        )
    found = {**own, **_tokenizer_files(folder, paths), **_note_files(folder, paths)}
    found[REFERENCE_FILE] = _find_reference(folder, paths)
    return {path: name for name, path in found.items() if path in paths}


def _find_reference(folder: str, paths: set[str]) -> str:
    """The configuration of the adapter that training compared with, where trainers save one beside; else no path."""
    known = (_join(folder, f"{name}/{CONFIG_FILE}") for name in _REFERENCES)
    return next((path for path in known if path in paths), "")


def list_files(top: Path) -> Iterator[str]:
    """Files below a folder as relative paths; linked folders are not entered. Raises TooLarge."""
    count = 0
    for folder, folders, files in os.walk(top):
        below = Path(folder).relative_to(top)
        if len(below.parts) >= _MAX_DEPTH:
            folders.clear()
        count += len(files)
        if count > _MAX_FILES:
            raise TooLarge(f"{top} holds more than {_MAX_FILES} files.", hint="Name the adapter's own folder.")
        yield from (str(below / name) for name in files)


def find_folders(names: Iterable[str]) -> list[str]:
    """Folders with an adapter, the outermost first; the empty name is the top."""
    folders = {str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name == CONFIG_FILE}
    return sorted(("" if folder == "." else folder for folder in folders), key=lambda folder: (_depth(folder), folder))


def _choose_folder(paths: set[str]) -> str:
    folders = find_folders(paths)
    if not folders:
        raise AdapterConfigRefused(
            f"There is no {CONFIG_FILE}.",
            hint="Send the folder that PEFT's save_pretrained wrote. A model that was trained whole is sent as "
            "'base_model' with 'trainable' instead."
            if any(PurePosixPath(path).name == MODEL_CONFIG_FILE for path in paths)
            else "Send the folder that PEFT's save_pretrained wrote, not the base model's.",
        )
    outermost = [folder for folder in folders if _depth(folder) == _depth(folders[0])]
    if len(outermost) > 1:
        raise AdapterConfigRefused(
            f"There are {len(outermost)} adapters: {', '.join(outermost[:_SHOWN])}.",
            hint=f"Send one of these folders, for example {outermost[-1]}"
            + (
                "; or the whole folder as the file 'run' to POST /v1/runs, which takes every checkpoint of a run."
                if any(STEP.fullmatch(PurePosixPath(folder).name) for folder in outermost)
                else ". Where training used several at once, merge the others into the base first, and send that."
            ),
            extra={"folders": outermost[:100]},
        )
    return outermost[0]


def _tokenizer_files(folder: str, paths: set[str]) -> Mapping[str, str]:
    """Tokenizer files of the adapter's folder, or of the nearest folder around it that has any."""
    found = _nearest(TOKENIZER_FILES, folder, paths)
    beside = next((str(PurePosixPath(path).parent).removeprefix(".") for path in found.values()), folder)
    return {**found, **choose_named(beside, paths)}


def _note_files(folder: str, paths: set[str]) -> Mapping[str, str]:
    """What the trainer left of its settings, each file in the nearest folder that has it: checkpoints have some."""
    return {name: path for note in (*NOTE_FILES, PICKLED) for name, path in _nearest((note,), folder, paths).items()}


def _nearest(names: Iterable[str], folder: str, paths: set[str]) -> Mapping[str, str]:
    """Those files of the nearest folder around another one, itself included, that has any: plain name -> path."""
    while True:
        found = {name: path for name in names if (path := _join(folder, name)) in paths}
        if found or not folder:
            return found
        folder = str(PurePosixPath(folder).parent).removeprefix(".")


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _depth(folder: str) -> int:
    return len(PurePosixPath(folder).parts)
