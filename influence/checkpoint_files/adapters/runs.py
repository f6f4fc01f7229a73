"""The checkpoints of one training run: where a trainer's folder holds them, and what each reads with."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from influence.checkpoint_files.adapters.folders import EPOCH, STEP, choose_files_in, find_folders
from influence.checkpoint_files.adapters.notes.plain_notes import STATE_FILE
from influence.errors import AdapterConfigRefused

MAX_STATE_BYTES = 64 << 20
#: The most checkpoints of a run; sums take no more.
MAX_STEPS = 32
_SHOWN = 5
_HINT = "Send the trainer's output folder, with its folders checkpoint-* (or epoch_*), each with adapter_config.json."


def find_steps(names: Iterable[str]) -> dict[int, str]:
    """Step or epoch -> folder of each checkpoint among relative paths, in their order. Raises AdapterConfigRefused."""
    found: dict[int, str] = {}
    units = set[bool]()
    for folder in find_folders(names):
        if (match := STEP.fullmatch(PurePosixPath(folder).name)) is None:
            continue
        step = int(match[2])
        units.add(match[1] == EPOCH)
        if step in found:
            raise AdapterConfigRefused(
                f"Two folders are the checkpoint of step {step}: {found[step]} and {folder}.",
                hint="Send the folder of one run.",
            )
        found[step] = folder
    if len(units) > 1:
        raise AdapterConfigRefused(
            f"Some folders count epochs and others steps: {', '.join(list(found.values())[:_SHOWN])}.",
            hint="Send a folder with those of one kind: their order is not known otherwise.",
        )
    if not 1 <= len(found) <= MAX_STEPS:
        raise AdapterConfigRefused(
            f"The folder holds {len(found)} adapters in folders called checkpoint-<step> or epoch_<number>; "
            f"a run has 1 to {MAX_STEPS}.",
            hint=_HINT,
        )
    return dict(sorted(found.items()))


def choose_run(names: Iterable[str]) -> dict[str, str]:
    """The files of all checkpoints among relative paths: path -> step/plain name, with each trainer's log.

    A tokenizer beside several checkpoints is written for one of them only: `share_files` says for which others.
    """
    paths = {str(PurePosixPath(name)) for name in names}
    chosen: dict[str, str] = {}
    for step, folder in find_steps(paths).items():
        files = choose_files_in(folder, paths)
        state = f"{folder}/{STATE_FILE}"
        files |= {state: STATE_FILE} if state in paths else {}
        chosen |= {path: f"{step}/{name}" for path, name in files.items() if path not in chosen}
    return chosen


def share_files(names: Iterable[str]) -> dict[str, list[str]]:
    """step/plain name of a file that was written -> step/plain names of other checkpoints that it belongs to, too."""
    paths = {str(PurePosixPath(name)) for name in names}
    owners: dict[str, list[str]] = {}
    for step, folder in find_steps(paths).items():
        for path, name in choose_files_in(folder, paths).items():
            owners.setdefault(path, []).append(f"{step}/{name}")
    return {first: others for first, *others in owners.values() if others}
