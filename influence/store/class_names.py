"""What the classes of an index are called."""

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import Index
from influence.contracts.tasks import names_classes
from influence.store.store import Store


def checkpoint_of(store: Store, index: Index) -> Checkpoint:
    """The checkpoint of an index; where it does not name its classes, as the indexed rows name theirs. Raises NotFound.

    Scores were taken with the rows' numbers as the head's, so what the rows call a number is what the head calls it:
    other rows that give a name another number mean that class, and names are understood.
    """
    checkpoint = store.checkpoints.require(index.spec.checkpoint_id)
    return name_classes(checkpoint, store.datasets.find(index.spec.dataset_id))


def name_classes(checkpoint: Checkpoint, dataset: Dataset | None) -> Checkpoint:
    """A checkpoint without class names with those of a data set, where it has one for each output of the head."""
    names = None if dataset is None else dataset.label_names
    if checkpoint.label_names is not None or names is None or not names_classes(checkpoint.task):
        return checkpoint
    return checkpoint.model_copy(update={"label_names": names}) if len(names) == checkpoint.num_labels else checkpoint
