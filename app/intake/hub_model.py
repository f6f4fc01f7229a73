"""The model hub: an adapter's files and nothing else, and the commit that a moving name stands for."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi, hf_hub_download

from app.intake.adapter_folder import Choose
from app.intake.hub_errors import translate_hub_errors
from influence.checkpoint_files.adapters.folders import CONFIG_FILE as ADAPTER_FILE
from influence.checkpoint_files.adapters.folders import choose_files
from influence.checkpoint_files.base_files import CONFIG_FILE, LEFT_ADAPTER, check_names
from influence.checkpoint_files.base_models import BUILT_IN_ALIASES
from influence.checkpoint_files.bases.json_file import read_json
from influence.checkpoint_files.bases.packing import refuse_packed
from influence.contracts.checkpoint import BaseModelRef
from influence.errors import TooLarge

_TIMEOUT_SECONDS = 30.0
_UPLOAD = "upload the adapter"
_NAME = f"name the base model's folder on this machine, or an alias ({', '.join(BUILT_IN_ALIASES)})"


def fetch_adapter(
    hub_id: str,
    *,
    revision: str | None,
    folder: Path,
    max_bytes: int,
    endpoint: str | None = None,
    choose: Choose = choose_files,
) -> None:
    """Download the adapter's files into `folder`, all of one commit.

    Raises NotFound, InvalidRequest, TooLarge, Unavailable.
    """
    with _translated(hub_id, revision, _UPLOAD):
        info = HfApi(endpoint=endpoint).model_info(
            hub_id, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
        listed = {file.rfilename: file.size or 0 for file in info.siblings or []}
        chosen = choose(listed)
        sizes = {path: listed[path] for path in chosen}
        if sum(sizes.values()) > max_bytes:
            raise TooLarge(f"The adapter has {sum(sizes.values()):,} bytes.", extra={"max_bytes": max_bytes})
        for path, name in chosen.items():
            fetched = hf_hub_download(
                hub_id, path, revision=info.sha, local_dir=folder, endpoint=endpoint, etag_timeout=_TIMEOUT_SECONDS
            )
            Path(fetched).replace(folder / name)


def pin_revision(base: BaseModelRef, *, endpoint: str | None = None) -> BaseModelRef:
    """The same base model at the commit that its revision (or `main`) stands for now.

    A checkpoint's id is an address of contents: it must not depend on a name that moves.
    Raises NotFound, InvalidRequest, Unavailable.
    """
    with _translated(base.location, base.revision, _NAME):
        info = HfApi(endpoint=endpoint).model_info(base.location, revision=base.revision, timeout=_TIMEOUT_SECONDS)
    return base.model_copy(update={"revision": info.sha})


def check_base(base: BaseModelRef, *, endpoint: str | None = None) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """(What is to be known of a base model on the hub, in sentences; its configuration), by the names of its files.

    Raises BaseModelNotFound, PickleRefused, UnsupportedModule, NotFound, InvalidRequest, Unavailable.
    """
    with _translated(base.location, base.revision, _NAME), TemporaryDirectory(prefix="base-") as scratch:
        info = HfApi(endpoint=endpoint).model_info(base.location, revision=base.revision, timeout=_TIMEOUT_SECONDS)
        names = {file.rfilename for file in info.siblings or []}
        check_names(base.name, names)
        fetched = hf_hub_download(
            base.location,
            CONFIG_FILE,
            revision=info.sha,
            local_dir=scratch,
            endpoint=endpoint,
            etag_timeout=_TIMEOUT_SECONDS,
        )
        config = read_json(Path(fetched))
        refuse_packed(config)
    return ((LEFT_ADAPTER,) if ADAPTER_FILE in names else ()), config


def _translated(hub_id: str, revision: str | None, instead: str) -> AbstractContextManager[None]:
    return translate_hub_errors(hub_id, revision, kind="model", example="owner/name", instead=instead)
