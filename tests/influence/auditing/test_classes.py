"""Figures by label, and given against predicted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.auditing import classes
from influence.auditing.classes import count_confusions, summarise_classes

labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def columns_of(pairs: list[tuple[int, int]]) -> dict[str, Any]:
    random = np.random.default_rng(len(pairs))
    given_labels, predicted = np.array(pairs, np.int32).T
    return {
        "label": given_labels,
        "predicted": predicted,
        "loss": random.exponential(size=len(pairs)),
        "suspicion": random.permutation(len(pairs)) / len(pairs),
    }


@given(labels)
def test_figures_are_those_of_each_labels_own_rows(pairs: list[tuple[int, int]]) -> None:
    columns = columns_of(pairs)
    found = summarise_classes(columns)
    assert [figures.label for figures in found] == sorted({label for label, _ in pairs})
    for figures in found:
        inside = np.flatnonzero(columns["label"] == figures.label)
        assert figures.rows == len(inside)
        assert figures.mean_loss == pytest.approx(columns["loss"][inside].mean())
        assert figures.mean_suspicion == pytest.approx(columns["suspicion"][inside].mean())
        assert figures.accuracy == pytest.approx(np.mean(columns["predicted"][inside] == figures.label))
        expected = inside[np.argsort(-columns["suspicion"][inside])][: classes.SUSPECTS_A_CLASS]
        assert figures.suspects.tolist() == expected.tolist()


@given(labels)
def test_confusions_count_every_row_once(pairs: list[tuple[int, int]]) -> None:
    counted = count_confusions(columns_of(pairs))
    assert counted is not None
    names, counts = counted
    for i, label in enumerate(names):
        for j, predicted in enumerate(names):
            assert counts[i, j] == pairs.count((label, predicted))
    assert counts.sum() == len(pairs)


def test_without_predictions_nothing_is_said_of_accuracy() -> None:
    columns = columns_of([(0, 0), (1, 0)])
    del columns["predicted"]
    assert [figures.accuracy for figures in summarise_classes(columns)] == [None, None]


def test_of_very_many_classes_the_most_suspicious_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "MAX_CLASSES", 2)
    monkeypatch.setattr(classes, "MAX_CONFUSION_CLASSES", 3)
    columns = columns_of([(label, label) for label in range(4)])
    columns["suspicion"] = np.array([0.9, 0.1, 0.2, 0.8])
    assert [figures.label for figures in summarise_classes(columns)] == [0, 3]
    assert count_confusions(columns) is None
