"""What an index's record names, brought to hand: the index itself, its model, its rows."""

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.evaluation.record import Subject
from influence.contracts.index import GradientSettings, Index
from influence.errors import IndexNotReady, NotFound
from influence.rows.file import RowFile
from influence.rows.label_forms.class_order import names_by_number
from influence.store.class_names import checkpoint_of, name_classes
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime


def require_ready(runtime: Runtime, index_id: str, *, hint: str | None = None) -> Index:
    """The record of an index that can be asked. Raises NotFound, IndexNotReady."""
    index = runtime.store.indexes.require(index_id)
    if index.state == "cancelled":  # its record is on its way out
        raise NotFound(f"The index {index_id} was deleted.", hint="Build it again with the same request.")
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.", hint=hint)
    return index


def open_model(runtime: Runtime, index: Index) -> HotModel:
    """The checkpoint of an index, loaded, with the index's gradient settings; of one that joins several the last,
    which takes gradients at all of them. Raises NotFound, CheckpointRefused."""
    if index.spec.joined:
        store = runtime.store
        checkpoints = {
            f"checkpoint-{one.step}": name_classes(store, index, store.checkpoints.require(one.checkpoint_id))
            for one in index.spec.joined
        }
        return runtime.models.get_joined(checkpoints, index.spec.gradients)
    return runtime.models.get(checkpoint_of(runtime.store, index), index.spec.gradients)


def open_checkpoint(runtime: Runtime, checkpoint_id: str, settings: GradientSettings) -> HotModel:
    """A loaded checkpoint. Raises NotFound, CheckpointRefused."""
    return runtime.models.get(runtime.store.checkpoints.require(checkpoint_id), settings)


def open_rows(runtime: Runtime, dataset_id: str, model: Checkpoint | Subject | HotModel | None = None) -> RowFile:
    """The rows of a data set, for a model with its own order of classes by the names that the model gives them.

    Raises NotFound, LabelUnknown, Internal where the files are damaged.
    """
    if model is None:
        return RowFile(runtime.files.dataset(dataset_id))
    names = names_by_number(runtime.store.datasets.require(dataset_id).label_names, model.label_names)
    return RowFile(runtime.files.dataset(dataset_id), names)


def open_indexed_rows(runtime: Runtime, index: Index) -> RowFile:
    """The rows of an index, as its checkpoint reads them. Raises what `open_rows` does."""
    return open_rows(runtime, index.spec.dataset_id, checkpoint_of(runtime.store, index))
