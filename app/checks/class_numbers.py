"""Where class numbers are taken as they are though one side calls them by name and the other does not."""

from collections.abc import Iterator

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.evaluation.record import Subject
from influence.contracts.index import Index
from influence.contracts.points import RowSelection
from influence.contracts.tasks import names_classes
from influence.errors import LabelUnknown
from influence.rows.label_forms.class_order import list_in_order
from influence.store.class_names import checkpoint_of
from influence.store.store import Store

_SEND = (
    "send the checkpoint with 'label_names' in the order of the head's outputs: class numbers are then matched by name."
)


def doubt_indexed_numbers(checkpoint: Checkpoint, indexed: Dataset) -> Iterator[str]:
    """What an index takes for granted: that its rows number the classes as the head does, which names none."""
    if _is_nameless(checkpoint) and indexed.label_names is not None:
        yield (
            "The checkpoint names no classes: its head's outputs are taken in the order of the data set's class "
            f"numbers, {list_in_order(indexed.label_names)}. If they have another order, {_SEND}"
        )


def doubt_asked_numbers(checkpoint: Checkpoint, indexed: Dataset, asked: Dataset) -> Iterator[str]:
    """The same of rows that are asked about an index whose checkpoint and rows name no classes, in sentences."""
    if _is_nameless(checkpoint) and indexed.label_names is None and asked.label_names is not None:
        yield (
            f"{asked.id} calls its classes {list_in_order(asked.label_names)}; neither the checkpoint nor the indexed "
            f"rows name any, so that its numbers are taken as theirs. If theirs have another order, {_SEND}"
        )


def doubt_selection(store: Store, index: Index, selection: RowSelection | None) -> tuple[str, ...]:
    """`doubt_asked_numbers` of rows that a request names. Raises NotFound."""
    if selection is None or not _is_nameless(checkpoint := checkpoint_of(store, index)):
        return ()  # as nearly every query: its data sets need not be read again
    indexed, asked = map(store.datasets.require, (index.spec.dataset_id, selection.dataset_id))
    return tuple(doubt_asked_numbers(checkpoint, indexed, asked))


def check_class_numbers(model: Checkpoint | Subject, indexed: Dataset, asked: Dataset) -> None:
    """Raise LabelUnknown where the head names no classes and both sides do, but number the same names otherwise."""
    sides = (indexed.label_names, asked.label_names)
    if not _is_nameless(model) or None in sides:
        return
    before, now = ([name.strip().casefold() for name in names or ()] for names in sides)
    if any(one != other for one, other in zip(before, now, strict=False)):
        raise LabelUnknown(
            f"{indexed.id} calls its classes {list_in_order(indexed.label_names or ())}, {asked.id} "
            f"{list_in_order(asked.label_names or ())}, and the head names none.",
            hint=f"Number both alike, or {_SEND}",
            extra={"dataset_label_names": list(asked.label_names or ())[:100]},
        )


def refuse_guessed_numbers(model: Checkpoint | Subject, indexed: Dataset, asked: Dataset) -> None:
    """Raise LabelUnknown for what `doubt_asked_numbers` says, where the answer has no place to say it."""
    if _is_nameless(model) and indexed.label_names is None and asked.label_names is not None:
        raise LabelUnknown(
            f"{asked.id} calls its classes {list_in_order(asked.label_names)}, and the rows of {indexed.id} have "
            "numbers without names: whether they mean the same is not known.",
            hint="Send those rows with 'label_names' in the order of their numbers; or these as JSON lines with "
            "numbers alone, if they are the same numbers.",
            extra={"dataset_label_names": list(asked.label_names)[:100]},
        )


def _is_nameless(model: Checkpoint | Subject) -> bool:
    return names_classes(model.task) and model.label_names is None
