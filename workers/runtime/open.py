"""What an index's record names, brought to hand: the index itself, its model, its rows."""

from influence.contracts.index import GradientSettings, Index
from influence.errors import IndexNotReady
from influence.rows.file import RowFile
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime


def require_ready(runtime: Runtime, index_id: str, *, hint: str | None = None) -> Index:
    """The record of an index that can be asked. Raises NotFound, IndexNotReady."""
    index = runtime.store.indexes.require(index_id)
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.", hint=hint)
    return index


def open_model(runtime: Runtime, index: Index) -> HotModel:
    """The checkpoint of an index, loaded, with the index's gradient settings. Raises NotFound, CheckpointRefused."""
    return open_checkpoint(runtime, index.spec.checkpoint_id, index.spec.gradients)


def open_checkpoint(runtime: Runtime, checkpoint_id: str, settings: GradientSettings) -> HotModel:
    """A loaded checkpoint. Raises NotFound, CheckpointRefused."""
    return runtime.models.get(runtime.store.checkpoints.require(checkpoint_id), settings)


def open_rows(runtime: Runtime, dataset_id: str) -> RowFile:
    """The rows of a data set. Raises NotFound, Internal where its files are damaged."""
    return RowFile(runtime.files.dataset(dataset_id))
