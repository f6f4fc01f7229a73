"""What the classes of an index are called."""

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import Index
from influence.contracts.tasks import names_classes
from influence.store.store import Store


def checkpoint_of(store: Store, index: Index) -> Checkpoint:
    """The checkpoint of an index; where it does not name its classes, as the indexed rows name theirs. Raises NotFound.

    Scores were taken with the rows' numbers as the head's, so what the rows call a number is what the head calls it:
    other rows that give a name another number mean that class, and names are understood.
    """
    return name_classes(store, index, store.checkpoints.require(index.spec.checkpoint_id))


def name_classes(store: Store, index: Index, checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint without class names with those of an index's rows, where they have one for each output of the head.

    The data set is read where it is needed alone: this is on the way of every query.
    """
    if checkpoint.label_names is not None or not names_classes(checkpoint.task):
        return checkpoint
    dataset = store.datasets.find(index.spec.dataset_id)
    names = None if dataset is None else dataset.label_names
    if names is None or len(names) != checkpoint.num_labels:
        return checkpoint
    return checkpoint.model_copy(update={"label_names": names})
