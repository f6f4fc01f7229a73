"""May an index grow from another one? All that can be told from the two records."""

from app.checks.class_numbers import check_class_numbers
from influence.contracts.index import GRADIENT_VERSION, GradientSettings, Index, IndexSpec
from influence.errors import IndexFailed, IndexNotReady, InvalidRequest
from influence.rows.label_forms.class_order import names_by_number
from influence.store.class_names import checkpoint_of
from influence.store.store import Store


def check_growth(store: Store, spec: IndexSpec, old_id: str) -> None:
    """Raise NotFound, IndexNotReady or InvalidRequest where codes of the old index would not be the new one's."""
    old = store.indexes.require(old_id)
    if old.state == "failed":
        raise IndexFailed(
            f"The index {old_id} could not be built, so nothing can grow from it.",
            hint="Build it again by sending its request again, or build without 'grow_from'.",
            extra={"index_id": old_id},
        )
    if old.state != "succeeded":
        raise IndexNotReady(
            f"The index {old_id} is {old.state}; one can grow only from an index that is ready.",
            hint=f"Wait for its job, /v1/jobs/{old.job_id}, or build without 'grow_from'.",
            extra={"index_id": old_id, "state": old.state, "job_id": old.job_id},
        )
    if old.spec.storage != "compact":
        raise InvalidRequest(
            f"The index {old_id} has storage '{old.spec.storage}'; only compact indexes have a basis to grow in.",
            hint="Leave 'grow_from' out, or name a compact index.",
        )
    if old.spec.code_dtype != "int8":
        raise InvalidRequest(
            f"The index {old_id} keeps {old.spec.code_dtype} codes; only int8 ones are carried over.",
            hint="Leave 'grow_from' out, or name an index of int8 codes.",
        )
    if old.spec.checkpoint_id != spec.checkpoint_id:
        raise InvalidRequest(
            f"The index {old_id} is of {old.spec.checkpoint_id}, the request is for {spec.checkpoint_id}.",
            hint="Gradients of two checkpoints do not mix: leave 'grow_from' out.",
        )
    if old.spec.joined:
        raise InvalidRequest(
            f"The index {old_id} joins several checkpoints, and an index grows from one of a single checkpoint.",
            hint="Leave 'grow_from' out; with 'run_id' and 'join' the rows are all computed.",
        )
    _check_metric(old, spec)
    _check_gradients(old, spec)
    _check_classes(store, old, spec)


def _check_metric(old: Index, spec: IndexSpec) -> None:
    """Codes are carried over as they are, and so is the preconditioner of the optimiser's metric."""
    if (old.spec.metric, old.spec.batch_rows) != (spec.metric, spec.batch_rows):
        raise InvalidRequest(
            f"The index {old.id} has codes of metric '{old.spec.metric}' with batch_rows {old.spec.batch_rows}, the "
            f"request asks for '{spec.metric}' with {spec.batch_rows}.",
            hint=f"Send metric '{old.spec.metric}' and batch_rows {old.spec.batch_rows}; or leave 'grow_from' out.",
            extra={"metric": old.spec.metric, "batch_rows": old.spec.batch_rows},
        )


def _check_classes(store: Store, old: Index, spec: IndexSpec) -> None:
    """Rows are matched by what they say, and a class number may say another class in another data set."""
    model = checkpoint_of(store, old)
    indexed, grown = map(store.datasets.require, (old.spec.dataset_id, spec.dataset_id))
    check_class_numbers(model, indexed, grown)
    before, now = (names_by_number(rows.label_names, model.label_names) for rows in (indexed, grown))
    if before != now:
        raise InvalidRequest(
            f"The data sets of {old.id} and of the request number their classes in different orders.",
            hint="Send the data set with its classes in the same order as before, or leave 'grow_from' out.",
        )


def _check_gradients(old: Index, spec: IndexSpec) -> None:
    differing = {
        name: (before, now)
        for name in GradientSettings.model_fields
        if (before := getattr(old.spec.gradients, name)) != (now := getattr(spec.gradients, name))
    }
    if differing:
        said = ", ".join(f"{name} {before!r} against {now!r}" for name, (before, now) in differing.items())
        wanted = ", ".join(f"{name}: {before!r}" for name, (before, _) in differing.items())
        raise InvalidRequest(
            f"The index {old.id} was built with other gradient settings: {said}.",
            hint=f"Send {wanted}; or leave 'grow_from' out.",
            extra={"settings": {name: before for name, (before, _) in differing.items()}},
        )
    if old.spec.gradient_version != GRADIENT_VERSION:
        raise InvalidRequest(
            f"The index {old.id} was built with an incompatible gradient version.",
            hint="Leave 'grow_from' out.",
        )
