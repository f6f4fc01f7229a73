"""What scores say of leaving rows out: instantly, from the mean scores that groups keep."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.datasets.rows.selection import RowSet
from app.http.context import Context
from app.queries.groups.verify import estimate_cost
from influence.auditing.removal import lost_classes, lowest_rows_of, removal_curve, removal_effect
from influence.contracts.curation.conditions import Condition, RowSearch
from influence.contracts.curation.groups import Balance, CurvePoint, Groups, Lowest, RemovedRows, WhatIf, WhatIfRequest
from influence.contracts.dataset import ROW_FORMS
from influence.contracts.index import Calibration, Index
from influence.errors import Conflict, InvalidRequest, NotFound
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.store import Store

_CURVE_PERCENTS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0)
#: A set of so many times the size that a calibration was measured with is predicted with a warning.
_MUCH_LARGER = 2
_SCORE = "score"
#: Above this share of all rows a sum of scores is a guess: rows stand in for each other.
_LARGE_SHARE = 0.2


def choose_rows(context: Context, record: Groups, asked: RemovedRows) -> NDArray[np.int64]:
    """The rows that would be left out, ascending. Raises Conflict, NotFound and InvalidRequest (no such rows)."""
    return _choose(context, record, asked, *read_rows(context.store, record))


def what_if(context: Context, record: Groups, request: WhatIfRequest, removed: NDArray[np.int64]) -> WhatIf:
    """What scores say. Raises Conflict (not finished), NotFound (no longer kept)."""
    store = context.store
    scores, numbers = read_rows(store, record)
    effect = removal_effect(scores.astype(np.float64), removed)
    index = store.indexes.require(record.index_id)
    groups = _group_balance(record, numbers, removed)
    labels = _label_balance(store, context.files, index, removed)
    calibration = _calibration(index, record)
    return WhatIf(
        method=record.method,
        damping_scale=record.damping_scale,
        method_reason=record.method_reason,
        rows_removed=len(removed),
        rows_left=record.rows - len(removed),
        effect=effect.effect,
        percentile=effect.percentile,
        random_mean=effect.random_mean,
        random_low=effect.random_low,
        random_high=effect.random_high,
        **_predict(calibration, effect.effect),
        groups=groups,
        labels=labels,
        curve=tuple(
            CurvePoint(percent=percent, rows=rows, effect=value)
            for percent, rows, value in removal_curve(scores.astype(np.float64), _CURVE_PERCENTS)
        ),
        warnings=(
            *_warnings(record, len(removed), groups, labels or ()),
            *_warn_of_size(calibration, len(removed) / record.rows),
        ),
        cost=estimate_cost(index, request, len(removed)),
    )


def read_rows(store: Store, record: Groups) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Mean scores (n,) and places of groups (n,) of all rows. Raises Conflict and NotFound."""
    if record.groups is None:
        raise Conflict(
            f"The groups {record.id} are not there: they are {record.state}.",
            hint=f"Wait for the job {record.job_id}." if not record.is_final else "Send the request again.",
            extra={"job_id": record.job_id, "state": record.state},
        )
    found = store.group_rows.read(record.id, record.rows)
    if found is None:
        raise NotFound(f"The scores of {record.id} are no longer kept.", hint="Send the request for groups again.")
    return found


def _choose(
    context: Context, record: Groups, asked: RemovedRows, scores: NDArray[np.float32], numbers: NDArray[np.int32]
) -> NDArray[np.int64]:
    if asked.row_indexes is not None:
        rows = np.unique(np.asarray(asked.row_indexes, dtype=np.int64))
        if rows[0] < 0 or rows[-1] >= record.rows:
            raise InvalidRequest("A row is not in the data set.", hint=f"Rows go from 0 to {record.rows - 1}.")
    elif asked.lowest is not None:
        rows = _lowest(context, record, asked.lowest, scores)
    elif asked.review_id is not None:
        rows = _removed_by(context.store, record, asked.review_id)
    elif asked.filter is not None:
        rows = _fitting(context, record, asked.filter, scores)
    else:
        rows = _rows_of_group(record, numbers, asked.group)
    if not 0 < len(rows) < record.rows:
        raise InvalidRequest(
            f"{len(rows)} of {record.rows} rows would be left out.", hint="Leave out at least one row, and keep one."
        )
    return rows


def _fitting(context: Context, record: Groups, search: RowSearch, scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return _row_set(context, record, influence=-scores).find(search)


def _lowest(context: Context, record: Groups, lowest: Lowest, scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """So many percent of all rows: those of lowest score, or of lowest value in a column."""
    if lowest.by == _SCORE:
        return lowest_rows_of(scores.astype(np.float64), lowest.percent)
    rows = _row_set(context, record)
    valued = rows.find(RowSearch(where=(Condition(column=lowest.by, op="is_null", value=False),)))
    length = round(record.rows * lowest.percent / 100)
    return np.sort(rows.page(valued, lowest.by, descending=False, offset=0, length=length))


def _row_set(context: Context, record: Groups, **figures: NDArray[np.float32]) -> RowSet:
    dataset = context.store.datasets.require(context.store.indexes.require(record.index_id).spec.dataset_id)
    return RowSet(dataset, lambda: context.tables.open(dataset), figures=figures)


def _removed_by(store: Store, record: Groups, review_id: str) -> NDArray[np.int64]:
    review = store.reviews.require(review_id)
    dataset_id = store.indexes.require(record.index_id).spec.dataset_id
    if review.dataset_id != dataset_id:
        raise InvalidRequest(
            f"The review {review_id} is of other rows.", hint=f"Name a review of the data set {dataset_id}."
        )
    rows = sorted(one.row_index for one in store.review_data.scan(review_id) if one.action == "remove")
    return np.asarray(rows, dtype=np.int64)


def _rows_of_group(record: Groups, numbers: NDArray[np.int32], name: str | None) -> NDArray[np.int64]:
    places = {one.group: one.place for one in record.groups or ()}
    if name not in places:
        raise InvalidRequest(
            f"There is no group '{str(name)[:80]}'.", hint=f"Groups are {', '.join(map(str, list(places)[:20]))}."
        )
    return np.flatnonzero(numbers == places[name])


def _group_balance(record: Groups, numbers: NDArray[np.int32], removed: NDArray[np.int64]) -> tuple[Balance, ...]:
    count = len(record.groups or ())
    places = numbers[removed]
    gone = np.bincount(places[places >= 0], minlength=count)
    return tuple(
        Balance(name=one.group, before=one.rows, after=one.rows - int(gone[one.place])) for one in record.groups or ()
    )


def _label_balance(store: Store, files: Files, index: Index, removed: NDArray[np.int64]) -> tuple[Balance, ...] | None:
    dataset = store.datasets.require(index.spec.dataset_id)
    if ROW_FORMS[dataset.kind].label is None or "labels" not in dataset.statistics:
        return None
    before: dict[str, int] = dataset.statistics["labels"]
    with RowFile(files.dataset(dataset.id)) as file:
        gone = Counter(str(row.get("label")) for row in file.read_many(removed))
    names = dataset.label_names
    return tuple(
        Balance(
            name=names[int(label)] if names and label.isdigit() and int(label) < len(names) else label,
            before=count,
            after=count - gone[label],
        )
        for label, count in before.items()
    )


def _warnings(record: Groups, removed: int, groups: Sequence[Balance], labels: Sequence[Balance]) -> tuple[str, ...]:
    found = []
    for kind, balances in (("Class", labels), ("Group", groups)):
        before = {str(one.name): one.before for one in balances}
        after = {str(one.name): one.after for one in balances}
        found += [f"{kind} {name} loses {share:.0%} of its rows." for name, share in lost_classes(before, after)]
    if removed > _LARGE_SHARE * record.rows:
        found.append(
            f"{removed / record.rows:.0%} of all rows: a sum of scores over so many is a guess, because rows "
            "stand in for each other. Train again to know."
        )
    return tuple(found)


def _calibration(index: Index, record: Groups) -> Calibration | None:
    """What an evaluation found for this method and damping, where predictions by it held."""
    known = (record.method, record.damping_scale)
    return next((one for one in index.calibrations if one.is_useful and (one.method, one.damping_scale) == known), None)


def _predict(calibration: Calibration | None, effect: float) -> dict[str, float]:
    """The predicted change of loss, and its interval by that of the factor."""
    if calibration is None:
        return {}
    low, high = sorted((calibration.low * effect, calibration.high * effect))
    return {"predicted_change": calibration.scale * effect, "predicted_low": low, "predicted_high": high}


def _warn_of_size(calibration: Calibration | None, share: float) -> tuple[str, ...]:
    measured = None if calibration is None else calibration.left_out_share
    if measured is None or share <= _MUCH_LARGER * measured:
        return ()
    return (
        f"The predicted change was calibrated on leaving out {measured:.0%} of the rows, not {share:.0%}: for so many "
        "it is a guess.",
    )
