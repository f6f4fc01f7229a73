"""The rows of an experiment under one seed: what is trained on, what is asked, which labels were made wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.contracts.evaluation.experiment import Experiment
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Index
from influence.errors import InvalidRequest
from influence.evaluating.draws import draw_rows, flip
from workers.rows import Row
from workers.runtime.open import open_indexed_rows, open_rows
from workers.runtime.state import Runtime


@dataclass(frozen=True, slots=True)
class Setting:
    """`flipped` (n,) marks the training rows whose label was changed on purpose."""

    train: list[Row]
    test: list[Row]
    flipped: NDArray[np.bool_]


def read_setting(runtime: Runtime, evaluation: Evaluation, *, seed: int, flip_share: float = 0.0) -> Setting:
    """Draw the rows of a request by a seed; of an index all rows that it holds, in its order.

    Raises InvalidRequest where test points or classes are lacking.
    """
    if evaluation.request.index_id is not None:
        return _read_indexed(runtime, evaluation, flip_share)
    request, subject = evaluation.request, evaluation.subject
    if flip_share and not subject.num_labels:
        raise InvalidRequest("Only labels of a classifier can be flipped.", hint="Send rows with a text and a label.")
    with open_rows(runtime, subject.dataset_id, subject) as file:
        other = request.evaluation_dataset_id
        with open_rows(runtime, other or subject.dataset_id, subject) as test_file:
            draw = draw_rows(
                len(file),
                None if other is None else len(test_file),
                seed=seed,
                rows=request.rows,
                test_points=request.test_points,
                flip_share=flip_share,
                classes=subject.num_labels or 2,
            )
            train, test = file.read_many(draw.train.tolist()), test_file.read_many(draw.test.tolist())
    return _with_flips(evaluation, [dict(row) for row in train], list(test), draw.flipped, draw.shifts)


def _with_flips(
    evaluation: Evaluation, train: list[Row], test: list[Row], flipped: NDArray[np.int64], shifts: NDArray[np.int64]
) -> Setting:
    names, classes = evaluation.subject.label_names, evaluation.subject.num_labels or 2
    marks = np.zeros(len(train), dtype=np.bool_)
    marks[flipped] = True
    for position, shift in zip(flipped.tolist(), shifts.tolist(), strict=True):
        train[position] = {**train[position], "label": _other_label(train[position]["label"], shift, classes, names)}
    return Setting(train, test, marks)


def _other_label(label: int | str, shift: int, classes: int, names: Sequence[str] | None) -> int | str:
    if isinstance(label, str):
        assert names is not None
        return names[flip(names.index(label), shift, len(names))]
    return flip(label, shift, classes)


def _read_indexed(runtime: Runtime, evaluation: Evaluation, flip_share: float) -> Setting:
    request = evaluation.request
    if request.evaluation_dataset_id is None or flip_share:
        raise InvalidRequest(
            "An index was trained on all of its rows and on their labels as they are.",
            hint="Name test points with 'evaluation_dataset_id', and leave 'flip_share' out.",
        )
    index = runtime.store.indexes.require(str(request.index_id))
    train = read_indexed_rows(runtime, index)
    with open_rows(runtime, request.evaluation_dataset_id, evaluation.subject) as file:
        chosen = _test_points(request, len(file))
        return Setting(train, list(file.read_many(chosen.tolist())), np.zeros(len(train), dtype=np.bool_))


def _test_points(request: Experiment, rows: int) -> NDArray[np.int64]:
    if request.named_test_rows is not None:
        return np.asarray(request.named_test_rows, dtype=np.int64)
    return np.random.default_rng(0).permutation(rows)[: request.test_points]


def places_in_index(runtime: Runtime, index: Index, row_indexes: Sequence[int]) -> NDArray[np.int64]:
    """Places of rows of the data set among those that `read_indexed_rows` gives; rows left out have none."""
    skipped = set(index.skipped_rows)
    if not skipped:
        return np.asarray(row_indexes, dtype=np.int64)
    with open_indexed_rows(runtime, index) as file:
        held = np.asarray([str(row["id"]) not in skipped for row in file])
    wanted = np.asarray(row_indexes, dtype=np.int64)
    places = np.cumsum(held, dtype=np.int64) - 1
    return np.asarray(places[wanted[held[wanted]]], dtype=np.int64)


def read_indexed_rows(runtime: Runtime, index: Index) -> list[Row]:
    """The rows that an index holds, in its order: those of its data set without the ones left out."""
    skipped = set(index.skipped_rows)
    with open_indexed_rows(runtime, index) as file:
        return [row for row in file.read() if str(row["id"]) not in skipped]
