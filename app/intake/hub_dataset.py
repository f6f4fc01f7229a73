"""One split of a data set on the model hub -> its files on disk. Data files only: no repository code is ever run."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download

from app.intake.hub_errors import translate_hub_errors
from app.intake.tables.limits import TableLimits, refuse_size
from influence.errors import InvalidRequest, NotFound

DEFAULT_SPLIT = "train"
_TIMEOUT_SECONDS = 30.0
#: Formats in the order of preference, where a split is there in several.
_ENDINGS = tuple(
    tuple(f"{ending}{packed}" for ending in endings for packed in packings)
    for endings, packings in (
        ((".parquet",), ("",)),
        ((".jsonl", ".ndjson"), ("", ".gz", ".zst")),
        ((".json",), ("", ".gz", ".zst")),
        ((".csv", ".tsv"), ("", ".gz", ".zst")),
    )
)
_GENERIC_FOLDERS = {"data", "default"}


def fetch_split(
    hub_id: str,
    *,
    revision: str | None = None,
    split: str | None = None,
    folder: Path,
    limits: TableLimits,
    endpoint: str | None = None,
) -> list[Path]:
    """Download the files of one split into `folder`, in the order of their names.

    `split` is `train`, or `configuration/train` where the repository has several. The revision is resolved to a
    commit once, so that all files are of one version. Raises NotFound, InvalidRequest, TooLarge, Unavailable.
    """
    with translate_hub_errors(hub_id, revision, kind="data set", example="stanfordnlp/sst2", instead="upload the file"):
        info = HfApi(endpoint=endpoint).dataset_info(
            hub_id, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
        sizes: dict[str, int] = {file.rfilename: file.size or 0 for file in info.siblings or []}
        names = files_of_split(list(sizes), split)
        if (total := sum(sizes[name] for name in names)) > limits.max_bytes:
            refuse_size(f"{total} bytes", limits)
        return [_download(hub_id, name, info.sha, folder, endpoint) for name in names]


def files_of_split(names: Sequence[str], split: str | None) -> list[str]:
    """The data files of one split among the files of a repository, sorted; one format, one configuration.

    Raises NotFound (no such files) and InvalidRequest (several configurations).
    """
    configuration, _, wanted = (split or DEFAULT_SPLIT).rpartition("/")
    for endings in _ENDINGS:
        matching = sorted(
            name for name in names if name.lower().endswith(endings) and _is_of(PurePosixPath(name), wanted)
        )
        by_configuration: dict[str, list[str]] = {}
        for name in matching:
            by_configuration.setdefault(_configuration(PurePosixPath(name), wanted), []).append(name)
        if configuration:
            by_configuration = {key: found for key, found in by_configuration.items() if key == configuration}
        if len(by_configuration) > 1:
            choices = [f"{key}/{wanted}" if key else wanted for key in by_configuration]
            raise InvalidRequest(
                f"The repository has {len(choices)} configurations with a split {wanted!r}.",
                hint=f"Send split={choices[-1]!r} or another of 'splits'.",
                extra={"splits": choices[:100]},
            )
        if by_configuration:
            return next(iter(by_configuration.values()))
    data = [name for name in names if name.lower().endswith(tuple(ending for group in _ENDINGS for ending in group))]
    raise NotFound(
        f"The repository has no Parquet, JSONL, JSON or CSV file of a split {wanted!r}.",
        hint="Name another split, or revision 'refs/convert/parquet', where the hub keeps Parquet copies.",
        extra={"data_files": data[:50]},
    )


def _is_of(path: PurePosixPath, split: str) -> bool:
    return split in path.parts[:-1] or split in re.split(r"[-_.]", path.stem) or path.stem == split


def _configuration(path: PurePosixPath, split: str) -> str:
    return "/".join(part for part in path.parts[:-1] if part != split and part not in _GENERIC_FOLDERS)


def _download(hub_id: str, name: str, commit: str | None, folder: Path, endpoint: str | None) -> Path:
    return Path(
        hf_hub_download(
            hub_id,
            name,
            repo_type="dataset",
            revision=commit,
            local_dir=folder,
            endpoint=endpoint,
            etag_timeout=_TIMEOUT_SECONDS,
        )
    )
