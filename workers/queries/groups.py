"""Groups from message to stored figures: one pass over the index per block of evaluation rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.auditing.groups import GroupFigures, GroupSums
from influence.contracts.curation.conditions import METADATA_PREFIX
from influence.contracts.curation.groups import MAX_GROUPS, PREDICTED, GroupRow, Groups, GroupSummary
from influence.contracts.index import Index
from influence.contracts.points import PointSource
from influence.errors import InvalidRequest
from influence.methods.registry import get_method
from influence.ranking.order import scores_of
from influence.rows.file import RowFile
from influence.store.data.audits import column_types
from influence.store.work import finish
from workers.indexes.lengths import FORWARD_SHARE, relative_length
from workers.indexes.open import OpenedIndex, open_index
from workers.queries.predicted_classes import predict_classes
from workers.queries.scored.influence import spread_rows
from workers.queries.test_points import make_test_points
from workers.runtime.interrupts import check_wanted
from workers.runtime.open import open_indexed_rows, open_rows
from workers.runtime.state import Runtime

#: Evaluation rows whose gradients and scores are held at once: a pass over the index takes nearly as long for few of
#: them as for many, so as many as these bytes of gradients and of scores allow.
_FEWEST_ROWS, _MOST_ROWS = 32, 256
_GRADIENT_BYTES, _SCORE_BYTES = 256 << 20, 128 << 20
#: A row's gradient with its score's pass over the index, over the gradient alone.
_SCORING_SHARE = 1.5
_SHOWN_ROWS = 3
_LARGE_SHARE = 0.5
_OUTSIDE = "{rows} rows of the data set are not in the index; they are counted in no group."
_LARGE = (
    "Group {name} holds {share:.0%} of all rows. A mean score over so large a group says little of what leaving it out "
    "would do: rows stand in for each other, and scores do not know it."
)


def group_rows(runtime: Runtime, record: Groups) -> None:
    """Score the evaluation rows, sum by group, and store the figures. Safe to run twice."""
    opened = open_index(runtime, record.index_id, record.job_id, record.method)
    _expect(runtime, record, opened)
    with open_indexed_rows(runtime, opened.index) as rows:
        names, numbers = _read_groups(runtime, record, opened, rows)
        outside = np.setdiff1d(np.arange(len(rows)), opened.hot.row_indexes)
        numbers[outside] = -1  # no score, so no part in any mean
        sums = GroupSums(numbers, len(names))
        classes = _score(runtime, record, opened, sums)
        figures = sums.figures()
        losses = _mean_by_group(numbers[opened.hot.row_indexes], opened.hot.losses, len(names))
        suspicions = _mean_suspicions(runtime, record, numbers, len(names))
        shown = [
            _summary(rows, sums, names, at, figures[at]).model_copy(
                update={"mean_loss": losses[at], "mean_suspicion": suspicions[at]}
            )
            for at in range(len(names))
        ]
    class_names = sorted({one for one in classes if one is not None}) or None
    if class_names is not None:
        shown = _with_classes(shown, sums, classes, class_names)
    scores = sums.mean_scores().astype(np.float32)
    scores[outside] = np.nan
    runtime.store.group_rows.write(record.id, scores, numbers.astype(np.int32))
    method = get_method(record.method)
    done: dict[str, Any] = {
        "groups": tuple(sorted(shown, key=lambda one: -one.mean_score)),
        "classes": None if class_names is None else tuple(class_names),
        "evaluation_rows": sums.evaluation_rows,
        "damping_scale": None
        if method.default_damping_scale is None
        else method.damping_scale(record.request.damping_scale),
        "notes": (
            *record.notes,
            *([_OUTSIDE.format(rows=len(outside))] if len(outside) else []),
            *(_LARGE.format(name=one.group or "(none)", share=one.share) for one in shown if one.share > _LARGE_SHARE),
        ),
    }
    finish(runtime.store, record, lambda current: current.model_copy(update=done))


def _expect(runtime: Runtime, record: Groups, opened: OpenedIndex) -> None:
    """Tell the job how long its phases should take, by the rate at which the index was built."""
    rate = opened.index.rows_per_second
    if not rate:
        return
    selection, seconds = record.request.evaluation, {}
    if record.request.by == PREDICTED:
        seconds["predictions"] = FORWARD_SHARE * opened.index.rows / rate
    chosen = selection.row_indexes or range(runtime.store.datasets.require(selection.dataset_id).rows)
    with open_rows(runtime, selection.dataset_id, opened.model) as file:
        longer = relative_length(opened.index, opened.model, file, chosen)
    runtime.store.jobs.expect(record.job_id, {**seconds, "scoring": _SCORING_SHARE * longer * len(chosen) / rate})


def _rows_at_once(index: Index) -> int:
    """Evaluation rows of a pass over an index."""
    by_gradients = _GRADIENT_BYTES // (4 * max(index.parameters or 1, 1))
    by_scores = _SCORE_BYTES // (8 * max(index.rows, 1))
    return max(_FEWEST_ROWS, min(_MOST_ROWS, by_gradients, by_scores))


def _read_groups(
    runtime: Runtime, record: Groups, opened: OpenedIndex, rows: RowFile
) -> tuple[list[str | None], NDArray[np.int64]]:
    by, class_names = record.request.by, opened.model.label_names
    if by != PREDICTED:
        return read_groups(rows, by, class_names)
    indexed = opened.hot.row_indexes
    predicted = predict_classes(runtime, record.job_id, opened.model, rows, indexed)
    numbers = np.full(len(rows), -1, dtype=np.int64)
    classes, numbers[indexed] = np.unique(predicted, return_inverse=True)
    return [_class_of(int(one), class_names) for one in classes], numbers


def read_groups(
    rows: RowFile, by: str, class_names: tuple[str, ...] | None = None
) -> tuple[list[str | None], NDArray[np.int64]]:
    """Names of groups in order of their first row, and each row's place among them (n,).

    A class number goes by its name where the checkpoint names its classes. Rows without a value are a group of their
    own, None. Raises InvalidRequest where there are too many.
    """
    column = by.removeprefix(METADATA_PREFIX)
    places: dict[str | None, int] = {}
    numbers = np.empty(len(rows), dtype=np.int64)
    for at, row in enumerate(rows):
        held = row.get("metadata") or {}
        value = row.get("label") if by == "label" else held.get(by, held.get(column))
        name = _class_of(value, class_names) if by == "label" and isinstance(value, int) else value
        numbers[at] = places.setdefault(None if name is None else str(name), len(places))
        if len(places) > MAX_GROUPS:
            raise InvalidRequest(
                f"'{by}' has more than {MAX_GROUPS} values.",
                hint="Group by a column with fewer, such as a source or a label.",
            )
    return list(places), numbers


def _score(runtime: Runtime, record: Groups, opened: OpenedIndex, sums: GroupSums) -> list[str | None]:
    """Take up the scores of all evaluation rows; answers the class of each, or None where it has none."""
    selection = record.request.evaluation
    with open_rows(runtime, selection.dataset_id, opened.model) as file:
        chosen = list(range(len(file))) if selection.row_indexes is None else selection.row_indexes
        names = opened.model.label_names
        labels = [_class_of(row.get("label"), names) for row in file.read_many(chosen)]
    runtime.store.jobs.set_phase(record.job_id, "scoring", total=len(chosen), unit="evaluation rows")
    score = opened.hot.scorer(record.method, record.request.damping_scale)
    at_once = _rows_at_once(opened.index)
    for start in range(0, len(chosen), at_once):
        check_wanted(runtime, record.job_id)
        block = chosen[start : start + at_once]
        asked = PointSource(rows=selection.model_copy(update={"row_indexes": block}))
        points = make_test_points(runtime, asked, opened.model)
        influence = score(points.gradients)
        sums.add(scores_of(spread_rows(influence, opened.hot.row_indexes, opened.index.rows)))
        runtime.store.jobs.set_done(record.job_id, start + len(block))
    return labels


def _class_of(label: Any, names: tuple[str, ...] | None) -> str | None:
    """A label as people read it; None for what is no single class."""
    if isinstance(label, int) and names is not None and 0 <= label < len(names):
        return names[label]
    return str(label) if isinstance(label, int | str) else None


def _mean_by_group(places: NDArray[np.int64], values: NDArray[Any], count: int) -> list[float | None]:
    """Mean of values (m,) by the group of each, -1 for none; None for a group that has none of them."""
    inside = places >= 0
    totals = np.bincount(places[inside], weights=values[inside], minlength=count)
    sizes = np.bincount(places[inside], minlength=count)
    return [float(total / size) if size else None for total, size in zip(totals, sizes, strict=True)]


def _mean_suspicions(runtime: Runtime, record: Groups, numbers: NDArray[np.int64], count: int) -> list[float | None]:
    """Mean suspicion by group, by the audit that the record names; None where it is not there any more."""
    audit = None if record.audit_id is None else runtime.store.audits.find_whole(record.audit_id)
    columns = None
    if audit is not None and audit.rows_audited is not None:
        wanted = column_types(("row_index", "suspicion"))
        columns = runtime.store.audit_data.read_columns(audit.id, audit.rows_audited, wanted)
    if columns is None:
        return [None] * count
    return _mean_by_group(numbers[columns["row_index"]], columns["suspicion"], count)


def _summary(rows: RowFile, sums: GroupSums, names: list[str | None], at: int, figures: GroupFigures) -> GroupSummary:
    best, worst = sums.extreme_rows(at, _SHOWN_ROWS)
    scores = sums.mean_scores()
    return GroupSummary(
        group=names[at],
        place=at,
        rows=figures.rows,
        share=figures.rows / len(rows),
        mean_score=figures.mean_score,
        low=figures.low,
        high=figures.high,
        sum_score=figures.sum_score,
        sum_low=figures.rows * figures.low,
        sum_high=figures.rows * figures.high,
        share_of_helpful=figures.share_of_helpful,
        share_of_harmful=figures.share_of_harmful,
        best=_shown(rows, scores, best),
        worst=_shown(rows, scores, worst),
    )


def _shown(rows: RowFile, scores: NDArray[np.float64], chosen: NDArray[np.int64]) -> tuple[GroupRow, ...]:
    found = rows.read_many(chosen)
    return tuple(
        GroupRow(row_index=int(at), row_id=str(row.pop("id")), score=float(scores[at]), row=row)
        for at, row in zip(chosen, found, strict=True)
    )


def _with_classes(
    shown: list[GroupSummary], sums: GroupSums, classes: list[str | None], names: list[str]
) -> list[GroupSummary]:
    places = {name: at for at, name in enumerate(names)}
    matrix = sums.matrix(np.array([-1 if one is None else places[one] for one in classes]), len(names))
    return [
        one.model_copy(update={"by_class": tuple(None if np.isnan(value) else float(value) for value in row)})
        for one, row in zip(shown, matrix, strict=True)
    ]
