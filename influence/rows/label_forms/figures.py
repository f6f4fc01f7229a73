"""Figures on the labels of a data set, by what its labels are."""

from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from influence.contracts.dataset import LabelForm, RowForm
from influence.rows.label_forms.numbers import Numbers

_COUNTED_LABELS = 1000


class LabelFigures(Protocol):
    """Takes up labels in normal form, one per row."""

    def add(self, label: Any) -> None: ...

    def summary(self) -> dict[str, Any]:
        """What the statistics of a data set say of its labels."""


class ClassFigures:
    """Rows per class."""

    def __init__(self) -> None:
        self._counts: Counter[int | str] = Counter()

    def add(self, label: int | str) -> None:
        self._counts[label] += 1

    def summary(self) -> dict[str, Any]:
        common = self._counts.most_common(_COUNTED_LABELS)
        labels = {str(label): count for label, count in sorted(common, key=_by_label)}
        return {"labels": labels, "classes": len(self._counts)}


class ClassSetFigures(ClassFigures):
    """Rows per class, and rows without any."""

    def __init__(self) -> None:
        super().__init__()
        self._without = 0

    def add(self, label: Any) -> None:
        self._without += not label
        for one in label:
            super().add(one)

    def summary(self) -> dict[str, Any]:
        return {**super().summary(), "rows_without_class": self._without}


class TagFigures(ClassFigures):
    """Tokens per tag, tokens without loss, and spans by what they are called."""

    def __init__(self) -> None:
        super().__init__()
        self._without = 0
        self._spans: Counter[str] = Counter()

    def add(self, label: Any) -> None:
        for tag in label:
            if tag is None:
                self._without += 1
            elif isinstance(tag, Mapping):
                self._spans[tag["label"]] += 1
            else:
                super().add(tag)

    def summary(self) -> dict[str, Any]:
        if self._spans:
            return {"span_labels": dict(sorted(self._spans.most_common(_COUNTED_LABELS)))}
        return {**super().summary(), "tokens_without_tag": self._without}


class NumberFigures:
    """The spread of all numbers, and how many a row has."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def add(self, label: Numbers) -> None:
        self._numbers.extend(label if isinstance(label, list) else [label])

    def summary(self) -> dict[str, Any]:
        mean = sum(self._numbers) / len(self._numbers)
        spread = {"min": min(self._numbers), "mean": mean, "max": max(self._numbers)}
        return {"numbers": spread}


_FIGURES: Mapping[LabelForm, Callable[[], LabelFigures]] = {
    "class": ClassFigures,
    "number": NumberFigures,
    "classes": ClassSetFigures,
    "tags": TagFigures,
}


def open_figures(form: RowForm) -> LabelFigures | None:
    """Empty figures for rows of a kind; None where they have no label."""
    return None if form.label is None else _FIGURES[form.label]()


def _by_label(item: tuple[int | str, int]) -> tuple[bool, int | str]:
    return isinstance(item[0], str), item[0]
