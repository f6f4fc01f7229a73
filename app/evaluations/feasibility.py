"""Can an experiment be made? All that the records tell, before a worker spends hours on it."""

from collections.abc import Sequence

from app.checks.class_numbers import check_class_numbers, refuse_guessed_numbers
from app.checks.compatibility import check_compatible, check_reduction
from app.checks.test_points import check_row_indexes
from influence.contracts.dataset import COMPLETION, IMAGE_CAPTION, Dataset
from influence.contracts.evaluation.experiment import MAX_PIECES, EvaluationRequest, MethodChoice
from influence.contracts.evaluation.record import Subject
from influence.contracts.index import Index
from influence.contracts.tasks import TASKS
from influence.errors import InvalidRequest, MethodNotOffered, RowsUnfit
from influence.evaluating.draws import count_held_out
from influence.methods.registry import get_method, get_offered
from influence.store.store import Store

#: Rows that a model is trained on, at least.
MIN_TRAINING_ROWS = 8
#: One row of so many is held out where no evaluation rows are named.
HELD_OUT_EVERY = 10
_NAMED = 20
#: Kinds of rows with a class beside what the model reads.
_WITH_CLASSES = (COMPLETION.name, IMAGE_CAPTION.name)


def check_source(request: EvaluationRequest) -> None:
    """Raise InvalidRequest where a kind cannot use an index, or needs one."""
    if request.trains_its_own and request.index_id is not None:
        raise InvalidRequest(
            f"An evaluation of kind '{request.kind}' trains models of its own and judges no index.",
            hint="Name the training rows in 'dataset_id' instead of 'index_id'.",
        )
    if request.needs_index and request.index_id is None:
        raise InvalidRequest(
            f"An evaluation of kind '{request.kind}' is made for one index.",
            hint="Name the index in 'index_id' instead of a 'dataset_id'.",
        )


def check_size(request: EvaluationRequest) -> None:
    """Raise InvalidRequest for more trainings than anyone will wait for."""
    pieces = request.trainings
    if pieces > MAX_PIECES:
        raise InvalidRequest(
            f"The request asks for {pieces:,} trainings; at most {MAX_PIECES:,} are made.",
            hint="Ask for fewer subsets, repeats or seeds.",
            extra={"pieces": pieces, "max_pieces": MAX_PIECES},
        )


def check_methods(request: EvaluationRequest) -> None:
    """Raise UnknownMethod, MethodNotOffered, or InvalidRequest for a damping that has no effect."""
    for choice in request.methods or ():
        method = get_method(choice.method, choice.storage)
        if choice.damping_scale is not None and method.default_damping_scale is None:
            raise InvalidRequest(
                f"Method '{choice.method}' has no damping; 'damping_scale' would have no effect.",
                hint="Leave 'damping_scale' out for this method.",
            )
        _require_storage(request, choice)
        _refuse_without_effect(request, choice)
        _refuse_late_epochs(request, choice)


def _require_storage(request: EvaluationRequest, choice: MethodChoice) -> None:
    if choice.storage not in request.storages:
        raise MethodNotOffered(
            f"An evaluation of kind '{request.kind}' keeps every gradient; it asks no method on '{choice.storage}'.",
            hint="Leave 'storage' out.",
        )


def _refuse_without_effect(request: EvaluationRequest, choice: MethodChoice) -> None:
    """Raise InvalidRequest for settings of a choice that the experiment would ignore, though its report named them."""
    ignored: tuple[str, ...] = ()
    why = ""
    if request.index_id is not None:
        ignored, why = (
            ("storage", "rank", "checkpoints", "epochs", "measurement", "reduction"),
            "an index answers from what it keeps, at its own checkpoint",
        )
    elif request.compares_classes and "measurement" in choice.model_fields_set:
        ignored, why = ("measurement",), "scores by the loss and by the square are both shown"
    elif not request.sums_checkpoints:
        ignored, why = ("checkpoints", "epochs"), "only the end of the training is scored"
    if given := [name for name in ignored if name in choice.model_fields_set]:
        raise InvalidRequest(
            f"'{given[0]}' of method '{choice.method}' would have no effect: {why}.",
            hint=f"Leave {', '.join(given)} out of 'methods'.",
            extra={"fields": given},
        )


def _refuse_late_epochs(request: EvaluationRequest, choice: MethodChoice) -> None:
    """Raise InvalidRequest for a checkpoint after the training's end."""
    last = max(choice.epochs or (1,))
    if last > request.recipe.epochs:
        raise InvalidRequest(
            f"'{choice.title}' names epoch {last}, and the recipe trains for {request.recipe.epochs}.",
            hint="Name epochs of the recipe, or raise its 'epochs'.",
        )


def check_indexed_methods(request: EvaluationRequest, index: Index) -> None:
    """Raise UnknownMethod or MethodNotOffered for a method that the index to be judged cannot answer."""
    for choice in request.methods or ():
        get_offered(choice.method, index.spec)


def check_rows(store: Store, request: EvaluationRequest, subject: Subject, dataset: Dataset) -> None:
    """Raise NotFound, RowsRefused or InvalidRequest where rows are too few or of the wrong kind for the experiment."""
    _check_flips(request, subject, dataset)
    _check_measurements(request, subject)
    # Where losses are not of tokens, a method's own mean has as little meaning as a sum.
    is_named = any(choice.reduction is not None for choice in request.methods or ())
    check_reduction(subject.task, dataset, "sum" if is_named else request.reduction)
    if request.compares_classes:
        _check_classes(request, dataset)
    tested = request.evaluation_dataset_id
    if tested is not None:
        _check_test_rows(request, subject, dataset, store.datasets.require(tested))
    _check_counts(request, dataset)


def _check_flips(request: EvaluationRequest, subject: Subject, dataset: Dataset) -> None:
    if request.flips and not TASKS[subject.task].has_classes:
        raise RowsUnfit(
            f"Labels are flipped, and the rows of {dataset.id}, of kind '{dataset.kind}', have none.",
            hint="Name a data set of texts with labels"
            + ("." if request.trains_its_own else ", or leave 'flip_share' out."),
        )


def _check_measurements(request: EvaluationRequest, subject: Subject) -> None:
    if TASKS[subject.task].is_pipeline:
        return
    if named := [choice.title for choice in request.methods or () if choice.measurement != "loss"]:
        raise InvalidRequest(
            f"'{named[0]}' measures what a diffusion model makes, and the task is '{subject.task}'.",
            hint="Leave 'measurement' out of 'methods'.",
        )


def _check_classes(request: EvaluationRequest, dataset: Dataset) -> None:
    if request.loss is not None:
        raise InvalidRequest(
            "This experiment compares two losses: of text those on the completion and on the prompt.",
            hint="Leave 'loss' out: both are shown.",
        )
    _require_classes(dataset)
    if len(dataset.statistics["row_classes"]) < 2:
        raise RowsUnfit(f"The rows of {dataset.id} are all of one class.", hint="Send rows of at least two classes.")


def _require_classes(dataset: Dataset) -> None:
    if dataset.kind not in _WITH_CLASSES or "row_classes" not in dataset.statistics:
        raise RowsUnfit(
            f"The rows of {dataset.id} have no class names beside prompt and completion, or image and text.",
            hint='Send the rows again with the column that names their class: columns={"class": "..."}.',
            extra={"kind": dataset.kind, "columns": dataset.columns},
        )


def _check_test_rows(request: EvaluationRequest, subject: Subject, dataset: Dataset, tested: Dataset) -> None:
    if tested.kind != dataset.kind:
        raise RowsUnfit(
            f"The rows of {tested.id} are of kind '{tested.kind}', the training rows '{dataset.kind}'.",
            hint=f"Name evaluation rows of kind '{dataset.kind}'.",
        )
    check_compatible(subject, tested)
    check_class_numbers(subject, dataset, tested)
    refuse_guessed_numbers(subject, dataset, tested)
    if request.named_test_rows is not None:
        check_row_indexes(list(request.named_test_rows), tested)
    if request.compares_classes:
        _require_classes(tested)
        known = dataset.statistics["row_classes"]
        if unknown := [name for name in tested.statistics["row_classes"] if name not in known]:
            raise RowsUnfit(
                f"No training row is of class {unknown[0][:80]!r}.",
                hint="Drop the test rows of classes that the training rows do not have.",
                extra={"classes": unknown[:_NAMED]},
            )


def _count_held_out(request: EvaluationRequest, rows: int) -> int:
    """Rows that become test points where no others are given: a whole tenth where it is spread over classes."""
    if request.compares_classes:
        return -(-rows // HELD_OUT_EVERY)
    return count_held_out(rows, request.test_points)


def _held_out_of(request: EvaluationRequest, dataset: Dataset) -> int:
    return 0 if request.evaluation_dataset_id is not None else _count_held_out(request, dataset.rows)


def count_training_rows(request: EvaluationRequest, dataset: Dataset) -> int:
    """Rows that an experiment may train on: those that it draws, or all that are not held out."""
    return request.rows or dataset.rows - _held_out_of(request, dataset)


def _check_counts(request: EvaluationRequest, dataset: Dataset) -> None:
    held_out = _held_out_of(request, dataset)
    left, wanted = dataset.rows - held_out, request.rows or MIN_TRAINING_ROWS
    if left < wanted:
        held = f", {held_out} of them held out as test points" if held_out else ""
        raise InvalidRequest(
            f"The data set {dataset.id} has {dataset.rows} rows{held}; training takes {wanted}.",
            hint="Send more rows, ask for fewer in 'rows', or name test points in 'evaluation_dataset_id'.",
            extra={"rows": dataset.rows, "held_out": held_out, "wanted": wanted},
        )
    training = count_training_rows(request, dataset)
    if request.named_rows is not None:
        _check_named_rows(request.named_rows, dataset)
    elif request.most_left_out >= training:
        raise InvalidRequest(f"{request.most_left_out} rows cannot be left out of {training}.", hint="Lower 'counts'.")


def _check_named_rows(rows: Sequence[int], dataset: Dataset) -> None:
    check_row_indexes(list(rows), dataset)
    if dataset.rows - len(rows) < MIN_TRAINING_ROWS:
        raise InvalidRequest(
            f"{len(rows)} rows cannot be left out of {dataset.rows}.",
            hint=f"Leave at least {MIN_TRAINING_ROWS} rows to train on.",
        )
