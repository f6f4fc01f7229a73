"""Numbers of classes from a data set's order to a model's: by the names that both sides have."""

from collections.abc import Sequence

from influence.errors import LabelUnknown, RowsRefused

_SHOWN = 20


def names_by_number(rows: Sequence[str] | None, model: Sequence[str] | None) -> tuple[str, ...] | None:
    """The model's name of each class number of the rows; None where the numbers mean the same or a side has no names.

    Names are the same but for case. Raises LabelUnknown, showing both orders, where the rows name a class that the
    model does not.
    """
    if rows is None or model is None:
        return None
    spelt = {_fold(name): name for name in model}
    unknown = [name for name in rows if _fold(name) not in spelt]
    if unknown or len(spelt) < len(model) or len({*map(_fold, rows)}) < len(rows):
        raise LabelUnknown(
            f"The data set numbers its classes {list_in_order(rows)}, the checkpoint {list_in_order(model)}.",
            hint="Send the data set with 'label_names' that call each class as the checkpoint does, in the order of "
            "its own numbers; or the checkpoint with the names of its head's outputs in their order.",
            extra={"dataset_label_names": list(rows[:100]), "checkpoint_label_names": list(model[:100])},
        )
    named = tuple(spelt[_fold(name)] for name in rows)
    return None if named == tuple(model[: len(named)]) else named


def refuse_other_name(label: object, said: object, column: str, names: Sequence[str] | None) -> None:
    """Raise RowsRefused, without a row, where a column of names calls a numbered label as another of the names."""
    if type(label) is not int or not isinstance(said, str) or names is None or label >= len(names):
        return
    if _fold(said) != _fold(names[label]) and _fold(said) in map(_fold, names):
        raise RowsRefused(
            f"label {label} is {names[label]!r} by the label names, and {said[:80]!r} in column {column[:80]!r}.",
            hint="Send 'label_names' in the order of the numbers, or drop the column if its names are wrong.",
        )


def list_in_order(names: Sequence[str]) -> str:
    """The first of the classes with their numbers, for a sentence."""
    shown = ", ".join(f"{number} {name!r}" for number, name in enumerate(names[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown


def _fold(name: str) -> str:
    return name.strip().casefold()
