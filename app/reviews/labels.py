"""Labels of decisions, written as the data set writes its own."""

from influence.contracts.dataset import ROW_FORMS, Dataset
from influence.errors import InvalidRequest, LabelOutOfRange, LabelUnknown

_SHOWN = 20


class LabelWriter:
    """Turns a label as a reviewer gives it into the data set's own: a class number or a name.

    Names come from the data set, else from the checkpoint of the audit (`names`). `is_numbered` says whether the rows
    hold class numbers: names may be digits, too, and the figures of a data set do not tell them apart.
    """

    def __init__(self, dataset: Dataset, names: tuple[str, ...] | None, *, is_numbered: bool) -> None:
        self._dataset = dataset
        self._seen = tuple(map(str, dataset.statistics.get("labels", {})))
        self._names = dataset.label_names or names
        self._is_numbered = is_numbered

    def write(self, label: int | str) -> int | str:
        """The label as the rows have it.

        Raises InvalidRequest where rows have no labels or none that are one class, LabelUnknown and LabelOutOfRange.
        """
        form = ROW_FORMS[self._dataset.kind].label
        if form != "class":
            what = "have no label" if form is None else "have labels that are not one class: no review writes them"
            raise InvalidRequest(
                f"Rows of kind '{self._dataset.kind}' {what}.", hint="Keep them, remove them, or decide later."
            )
        return self._number(label) if self._is_numbered else self._name(label)

    def _number(self, label: int | str) -> int:
        if isinstance(label, str) and self._names and label in self._names:
            return self._names.index(label)
        if isinstance(label, str) and not (label.isascii() and label.isdigit()):
            raise self._unknown(label)
        classes = len(self._names) if self._names else 1 + max(map(int, self._seen))
        if not 0 <= int(label) < classes:
            raise LabelOutOfRange(f"label {label} is out of range.", hint=f"Classes go from 0 to {classes - 1}.")
        return int(label)

    def _name(self, label: int | str) -> str:
        known = self._names or self._seen
        if isinstance(label, int):
            if not self._names or not 0 <= label < len(self._names):
                raise self._unknown(label)
            return self._names[label]
        if label not in known and label not in self._seen:
            raise self._unknown(label)
        return label

    def _unknown(self, label: int | str) -> LabelUnknown:
        known = self._names or self._seen
        return LabelUnknown(
            f"There is no label {str(label)[:80]!r} in this data set.",
            hint=f"Labels are {', '.join(known[:_SHOWN])}.",
        )
