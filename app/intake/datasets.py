"""Untrusted table -> accepted data set on disk, addressed by its normalised rows, and its images by theirs."""

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ulid import ULID

from app.intake.hub_dataset import fetch_split
from app.intake.tables.exports import name_label
from app.intake.tables.json_shapes import name_wrapper
from app.intake.tables.limits import TableLimits
from app.intake.tables.opening import join_tables, open_table
from app.intake.tables.table import Table
from influence.contracts.common import DEFAULT_NAMESPACE, now
from influence.contracts.dataset import CLASSIFICATION, ROW_FORMS, Dataset, RowKind, RowProblem
from influence.digests import digest_within
from influence.errors import ColumnsUnmatched, DatainfError, NotFound
from influence.rows.columns import ColumnMap, choose_columns
from influence.rows.content import Source
from influence.rows.file import RowFile, dataset_digest, write_rows
from influence.rows.findings import list_names
from influence.rows.images.limits import ImageLimits
from influence.rows.images.sources import ImageReader
from influence.rows.images.store import StagedImages, images_beside, write_list
from influence.rows.label_forms.detection import settle_kind
from influence.rows.normalise import NormalisedRows, normalise_rows
from influence.rows.roles import LABEL_ROLES
from influence.rows.statistics import RowStatistics

MAX_NAME_CHARACTERS = 200


def accept_dataset(
    source_path: Path,
    *,
    filename: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_names: Sequence[str] | None = None,
    name: str | None = None,
    split: str | None = None,
    limits: TableLimits,
    destination_root: Path,
    namespace: str = DEFAULT_NAMESPACE,
) -> Dataset:
    """Read, check and keep the rows of a file or Arrow folder under `destination_root/ds_<digest>`.

    The same rows again in the same namespace give the same id and no second copy. Leaves nothing behind when it
    raises: UploadRefused, RowsRefused or RequestRefused, each with rows or columns named.
    """
    table = open_table(source_path, filename=filename, limits=limits, split=split)
    return accept_table(
        table,
        columns=columns,
        label_names=label_names,
        name=name or filename,
        destination_root=destination_root,
        image_limits=limits.images,
        namespace=namespace,
    )


def accept_hub_dataset(
    hub_id: str,
    *,
    revision: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_names: Sequence[str] | None = None,
    name: str | None = None,
    limits: TableLimits,
    destination_root: Path,
    namespace: str = DEFAULT_NAMESPACE,
    endpoint: str | None = None,
) -> Dataset:
    """As `accept_dataset`, for one split of a data set on the hub; the download is not kept.

    Raises NotFound and Unavailable beside what `accept_dataset` raises.
    """
    with TemporaryDirectory(prefix="download-", dir=destination_root) as scratch:
        files = fetch_split(
            hub_id, revision=revision, split=split, folder=Path(scratch), limits=limits, endpoint=endpoint
        )
        table = join_tables([open_table(file, limits=limits) for file in files])
        return accept_table(
            table,
            columns=columns,
            label_names=label_names,
            name=name or hub_id,
            destination_root=destination_root,
            image_limits=limits.images,
            namespace=namespace,
        )


def accept_table(
    table: Table,
    *,
    columns: Mapping[str, str] | None = None,
    label_names: Sequence[str] | None = None,
    name: str | None = None,
    destination_root: Path,
    image_limits: ImageLimits,
    namespace: str = DEFAULT_NAMESPACE,
) -> Dataset:
    """As `accept_dataset`, for a table that is open."""
    chosen = _settle_columns(table, columns)
    known = label_names if label_names is not None else _class_names(table, chosen)
    skipped = _unkept(table, chosen)
    has_image = ROW_FORMS[chosen.kind].has_image
    asked = [column for column in table.columns if column not in skipped]
    with (
        images_beside(destination_root).staging() if has_image else nullcontext() as staged,
        _closing(table.rows(asked)) as source,
    ):
        rows = normalise_rows(
            source,
            chosen,
            label_names=known,
            numbered=label_names is None,
            text_types=table.text_types,
            filled=table.filled,
            images=None if staged is None else ImageReader(staged, image_limits),
        )
        kept = keep_rows(
            rows,
            kind=rows.kind,
            columns=chosen.columns,
            label_names=lambda: rows.label_names,
            destination_root=destination_root,
            staged=staged,
            namespace=namespace,
        )
    return kept.model_copy(
        update={
            "name": name[:MAX_NAME_CHARACTERS] if name else None,
            "metadata_columns": rows.metadata_columns,
            "format": table.format,
            "statistics": {**kept.statistics, **rows.label_facts, **_reading(rows, table, chosen)},
            "problems": (*table.problems, *_skipping(skipped, kept.rows), *rows.problems, *kept.problems),
        }
    )


@contextmanager
def _closing(rows: Iterable[Source]) -> Iterator[Iterable[Source]]:
    """Rows whose file is closed at once, also where one of them is refused and the error is kept."""
    try:
        yield rows
    finally:
        if isinstance(rows, Generator):
            rows.close()


def keep_rows(
    rows: Iterable[dict[str, Any]],
    *,
    kind: RowKind,
    columns: Mapping[str, str],
    label_names: Callable[[], Sequence[str] | None],
    destination_root: Path,
    staged: StagedImages | None = None,
    namespace: str = DEFAULT_NAMESPACE,
) -> Dataset:
    """Write normalised rows in one pass and move them to their address; the same rows again are one copy.

    `label_names` is asked when all rows have gone by, for it may depend on them; `staged` holds images of the rows
    that may be new. Raises EmptyFile, and NotFound where an image is neither there nor kept.
    """
    statistics = RowStatistics(kind)
    staging = destination_root / f"incoming-{ULID()}"
    summary = write_rows(staging, statistics.watch(rows))
    names = label_names()
    dataset_id = f"ds_{digest_within(namespace, dataset_digest(kind, names, columns, summary))}"
    if statistics.images is None:
        _settle(staging, destination_root / dataset_id)
    else:
        _settle_images(staging, destination_root / dataset_id, statistics.images, staged)
    return Dataset(
        id=dataset_id,
        kind=kind,
        columns=dict(columns),
        rows=summary.rows,
        bytes=summary.bytes,
        label_names=tuple(names) if names is not None else None,
        statistics=statistics.summary(),
        problems=statistics.problems(),
        created_at=now(),
    )


def _settle_columns(table: Table, columns: Mapping[str, str] | None) -> ColumnMap:
    try:
        chosen = choose_columns(table.columns, name_label(table, columns), types=table.types)
        asked = [column for role, column in chosen.columns.items() if role in LABEL_ROLES]
        with _closing(table.rows(asked)) as labels:
            is_named = CLASSIFICATION.label_roles[0] in (columns or {})
            return settle_kind(chosen, labels, typed=table.text_types is None, is_named=is_named)
    except ColumnsUnmatched as error:
        if table.only_row is not None and columns is None:
            raise name_wrapper(table.only_row, error) from error
        raise


def _class_names(table: Table, chosen: ColumnMap) -> tuple[str, ...] | None:
    roles = ROW_FORMS[chosen.kind].label_roles
    columns = [chosen.columns[role] for role in roles if role in chosen.columns]
    return table.class_names.get(columns[0]) if columns else None


def _unkept(table: Table, chosen: ColumnMap) -> list[str]:
    """Columns that play no role and hold nothing that JSON can: bytes, and types that only Arrow knows."""
    read = {*chosen.columns.values(), chosen.label_name, *chosen.unreadable}
    return [
        column
        for column in table.columns
        if column not in read and (kinds := table.types.get(column)) and kinds <= {"bytes", "image", "other"}
    ]


def _skipping(columns: Sequence[str], rows: int) -> tuple[RowProblem, ...]:
    if not columns:
        return ()
    message = f"Not kept, for no JSON can hold their values: the columns {list_names(columns)}."
    return (RowProblem(code="metadata_not_kept", count=rows, rows=(), message=message, names=tuple(columns)),)


def _reading(rows: NormalisedRows, table: Table, chosen: ColumnMap) -> dict[str, str]:
    """How the rows were read: format, form of the labels, template of the prompts."""
    form = {"label_form": rows.label_form} if rows.label_form else {}
    template = {"prompt_template": "alpaca"} if "instruction" in chosen.columns else {}
    return {"format": table.format.name, **form, **template}


def _settle_images(staging: Path, folder: Path, digests: set[str], staged: StagedImages | None) -> None:
    """As `_settle`, for rows with images: with the lock held, so that none is removed before the list is there."""
    images = images_beside(folder.parent)
    write_list(staging, digests)
    with images.locked():
        if staged is not None:
            images.publish(staged)
        if missing := images.missing(digests):
            shutil.rmtree(staging)
            raise NotFound(f"{len(missing)} images of these rows are gone.", hint="Send the data set again.")
        _settle(staging, folder)


def _settle(staging: Path, folder: Path) -> None:
    """Move new rows to their address; keep what is there already if it is whole."""
    try:
        staging.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        if _is_whole(folder):
            shutil.rmtree(staging)
        else:
            _replace(staging, folder)


def _is_whole(folder: Path) -> bool:
    try:
        with RowFile(folder) as rows:
            rows.verify()
    except DatainfError:
        return False
    return True


def _replace(staging: Path, folder: Path) -> None:
    damaged = folder.parent / f"damaged-{ULID()}"
    folder.rename(damaged)
    staging.rename(folder)
    shutil.rmtree(damaged, ignore_errors=True)
