"""What a copy of a record has to be before it is a record again."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.checkpoint import Checkpoint, Run
from influence.contracts.common import Record
from influence.contracts.curation.review import Review
from influence.contracts.dataset import Dataset
from influence.contracts.index import Index
from influence.digests import is_digest
from influence.store import keys
from influence.store.access.key import is_namespace
from influence.store.data.files import Files
from influence.store.data.sealed import is_sealed, unseal
from influence.store.store import Store

Model = TypeVar("Model", bound=Record)
Check = Callable[[Any], None]


class CopyRefused(Exception):
    """A copy is not made a record; the text says why, in a clause."""


def parse_copy(text: bytes | None, model: type[Model], kind: str, record_id: str) -> Model:
    """The record that was copied. Raises CopyRefused for one that is damaged, or another one's."""
    if text is None:
        raise CopyRefused("it is gone")
    try:
        if not is_sealed(text):
            raise CopyRefused("it is damaged: it has no checksum")
        record = model.model_validate_json(unseal(text))
    except ValueError as error:
        raise CopyRefused(f"it is damaged: {str(error).splitlines()[0][:200]}") from error
    if record.id != record_id:
        raise CopyRefused(f"it is the {kind} {record.id[:80]!r}")
    if not is_namespace(record.namespace):
        raise CopyRefused(f"{record.namespace[:80]!r} is no namespace")
    return record


def make_checks(store: Store, files: Files, base_models: BaseModels) -> Mapping[str, Check]:
    """What each kind of record needs to be there, by kind. Each raises CopyRefused, or a DatainfError that says why."""

    def check_dataset(dataset: Dataset) -> None:
        if not files.holds_dataset(dataset.id):
            raise CopyRefused("its rows are not among the files")

    def check_checkpoint(checkpoint: Checkpoint) -> None:
        base_models.check(checkpoint.base_model)
        digest = checkpoint.adapter_digest
        if digest is None and not checkpoint.trainable:
            raise CopyRefused("it names nothing that was trained")
        if digest is not None and not (is_digest(digest) and files.holds_adapter(digest)):
            raise CopyRefused("its adapter is not among the files")

    def check_run(run: Run) -> None:
        base_models.check(run.base_model)
        _require(store, *(one.checkpoint_id for one in run.checkpoints))

    def check_index(index: Index) -> None:
        if index.state != "succeeded" or index.spec.storage != "compact":
            raise CopyRefused("it was not finished, or is of full storage")
        _require(store, *index.sources)
        table = files.indexes.table(index.build) if keys.is_id(index.built_by or index.job_id) else None
        if table is None:
            raise CopyRefused("its codes are not among the files, or their table is damaged")
        if len(table.commits) != index.shards:
            raise CopyRefused(f"its files are of {len(table.commits)} shards, where it has {index.shards}")

    def check_review(review: Review) -> None:
        _require(store, review.dataset_id)

    return {
        "dataset": check_dataset,
        "checkpoint": check_checkpoint,
        "run": check_run,
        "index": check_index,
        "review": check_review,
    }


def _require(store: Store, *resource_ids: str) -> None:
    for resource_id in sorted(resource_ids):
        if not (keys.is_id(resource_id) and store.holds(resource_id)):
            raise CopyRefused(f"{resource_id[:80]}, which it depends on, is not there")
