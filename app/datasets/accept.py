"""Data sets: from a file, or a split on the hub, to rows by address and a record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.datasets.record import keep_record
from app.http.context import Context
from app.http.idempotency import Accepted

if TYPE_CHECKING:
    from app.intake.tables.limits import TableLimits


class About(Protocol):
    """What a form and a JSON body say alike of the rows."""

    @property
    def columns(self) -> Mapping[str, str] | None: ...
    @property
    def label_names(self) -> Sequence[str] | None: ...
    @property
    def split(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...


def accept_file(context: Context, path: Path, filename: str | None, about: About) -> Accepted:
    """A file or an Arrow folder. Raises what `accept_dataset` raises."""
    # Loading the table readers (pyarrow) takes longer than the API may take to start.
    from app.intake.datasets import accept_dataset

    dataset = accept_dataset(
        path,
        filename=filename,
        columns=about.columns,
        label_names=about.label_names,
        name=about.name,
        split=about.split,
        limits=_limits(context),
        destination_root=context.files.datasets,
        namespace=context.namespace,
    )
    context.files.publish_dataset(dataset.id)
    return keep_record(context.store, dataset, is_named=about.name is not None)


def accept_split(context: Context, hub_id: str, revision: str | None, about: About) -> Accepted:
    """One split of a data set on the hub. Raises what `accept_hub_dataset` raises."""
    # Loading the hub client takes longer than the API may take to start.
    from app.intake.datasets import accept_hub_dataset

    dataset = accept_hub_dataset(
        hub_id,
        revision=revision,
        columns=about.columns,
        label_names=about.label_names,
        name=about.name,
        split=about.split,
        limits=_limits(context),
        destination_root=context.files.datasets,
        namespace=context.namespace,
    )
    context.files.publish_dataset(dataset.id)
    return keep_record(context.store, dataset, is_named=about.name is not None)


def _limits(context: Context) -> "TableLimits":
    from app.intake.tables.limits import TableLimits

    settings = context.settings
    return TableLimits(max_bytes=settings.max_dataset_bytes, max_rows=settings.max_rows, images=settings.image_limits)
