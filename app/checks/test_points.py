"""Do test points fit an index? All that can be told before any model is loaded."""

from typing import TypeVar

from app.checks.class_numbers import check_class_numbers
from app.checks.compatibility import check_compatible
from app.checks.labels import check_example_labels
from app.checks.targets import (
    check_examples,
    check_generated,
    check_target,
    makes_images,
    read_against,
    refuse_noise_of_noise,
)
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import Index
from influence.contracts.points import MAX_TEST_POINTS, PointSource, RowSelection
from influence.contracts.tasks import TASKS
from influence.errors import InvalidRequest, RowsUnfit
from influence.rows.examples import normalise_examples
from influence.rows.images.limits import ImageLimits
from influence.store.class_names import checkpoint_of
from influence.store.store import Store

Asked = TypeVar("Asked", bound=PointSource)


def check_test_points(store: Store, index: Index, request: Asked, image_limits: ImageLimits) -> Asked:
    """The request with its examples in normal form. Raises NotFound, InvalidRequest, RowsRefused, UploadRefused."""
    dataset = store.datasets.require(index.spec.dataset_id)
    checkpoint = checkpoint_of(store, index)
    check_target(request, checkpoint)
    request = request.model_copy(update={"against": read_against(request, checkpoint, dataset)})
    is_made = makes_images(request, checkpoint)
    if is_made:
        refuse_noise_of_noise(checkpoint)
    if request.rows is not None:
        check_selection(store, request.rows, dataset, checkpoint, most=MAX_TEST_POINTS, what="test points")
        if is_made:
            check_generated(request, count_test_points(store, request))
        return request
    examples = normalise_examples(
        request.examples or [],
        dataset.kind,
        dataset.columns,
        beside=dataset.metadata_columns,
        label_names=checkpoint.label_names,
        classes=checkpoint.num_labels,
        image_limits=image_limits,
        made=TASKS[checkpoint.task].answers if request.target == "prediction" else None,
    )
    if is_made:
        check_generated(request.model_copy(update={"examples": examples}), len(examples))
    check_example_labels(examples, checkpoint, dataset, needs_label=request.target == "label")
    check_examples(request, examples)
    return request.model_copy(update={"examples": examples})


def count_test_points(store: Store, request: PointSource) -> int:
    """Test points of a request that was checked. Raises NotFound."""
    if request.rows is None:
        return len(request.examples or ())
    return _count_rows(request.rows, store.datasets.require(request.rows.dataset_id))


def _count_rows(selection: RowSelection, dataset: Dataset) -> int:
    return dataset.rows if selection.row_indexes is None else len(selection.row_indexes)


def check_selection(
    store: Store, selection: RowSelection, indexed: Dataset, checkpoint: Checkpoint, *, most: int, what: str
) -> None:
    """Raise NotFound, RowsRefused or InvalidRequest for rows that cannot be scored, or that are more than `most`."""
    dataset = store.datasets.require(selection.dataset_id)
    if dataset.kind != indexed.kind:
        raise RowsUnfit(
            f"The rows of {dataset.id} are of kind '{dataset.kind}', those of the index '{indexed.kind}'.",
            hint=f"Name a data set of kind '{indexed.kind}'.",
        )
    check_compatible(checkpoint, dataset)
    check_class_numbers(checkpoint, indexed, dataset)
    check_row_indexes(selection.row_indexes, dataset)
    count = _count_rows(selection, dataset)
    if not 1 <= count <= most:
        name = what.replace(" ", "_")
        raise InvalidRequest(
            f"The request has {count:,} {what}; from 1 to {most:,} are taken.",
            hint="Name fewer rows in 'row_indexes', in several requests if need be."
            if count
            else "Name a row in 'row_indexes'.",
            extra={name: count, f"max_{name}": most},
        )


def check_row_indexes(row_indexes: list[int] | None, dataset: Dataset) -> None:
    """Raise InvalidRequest for an index that the data set does not have."""
    outside = [row for row in row_indexes or () if not 0 <= row < dataset.rows]
    if outside:
        raise InvalidRequest(
            f"There is no row {outside[0]} in {dataset.id}.",
            hint=f"Rows go from 0 to {dataset.rows - 1}.",
            extra={"row_indexes": outside[:20], "rows": dataset.rows},
        )
