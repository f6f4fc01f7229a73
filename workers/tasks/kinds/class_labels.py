"""Classes of a head: their numbers, and their names where the checkpoint has any."""

from collections.abc import Sequence
from typing import Any

from influence.errors import LabelOutOfRange, LabelUnknown
from workers.rows import Row
from workers.tasks.refusals import id_of, refuse_rows


class ClassLabels:
    """Turns labels into class numbers and back; names are in the order of the head's outputs."""

    def __init__(self, count: int, names: Sequence[str] | None) -> None:
        self.count = count
        self._names = tuple(names) if names is not None else None
        self._numbers = {name: place for place, name in enumerate(self._names or ())}

    def number(self, labels: Sequence[tuple[Row, Any]]) -> list[int]:
        """Class numbers of labels, each with its row. Raises LabelUnknown and LabelOutOfRange naming the rows."""
        self._refuse_unknown_names(labels)
        numbers = [self._numbers[label] if isinstance(label, str) else label for _, label in labels]
        outside = [id_of(row) for (row, _), number in zip(labels, numbers, strict=True) if not self._is_class(number)]
        if outside:
            refuse_rows(
                LabelOutOfRange,
                list(dict.fromkeys(outside)),
                f"with a label outside 0 to {self.count - 1}",
                hint=f"The classifier's head has {self.count} outputs; count classes from 0.",
            )
        return numbers

    def spell(self, number: int) -> int | str:
        """A class as people know it."""
        return number if self._names is None else self._names[number]

    def _refuse_unknown_names(self, labels: Sequence[tuple[Row, Any]]) -> None:
        unknown = [(row, label) for row, label in labels if isinstance(label, str) and label not in self._numbers]
        if not unknown:
            return
        known = f"Its names begin {', '.join(map(repr, self._names[:8]))}." if self._names else "It has no names."
        refuse_rows(
            LabelUnknown,
            list(dict.fromkeys(id_of(row) for row, _ in unknown)),
            f"with a label that the checkpoint does not name (the first is {unknown[0][1][:80]!r})",
            hint=f"{known} Send the checkpoint with 'label_names', or label rows with class numbers.",
        )

    def _is_class(self, label: Any) -> bool:
        return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < self.count
