"""A review applied: the rows that stay, with their new labels, as a data set of its own."""

from collections.abc import Iterator
from typing import Any

from app.intake.datasets import keep_rows
from influence.contracts.common import now
from influence.contracts.curation.review import ApplyAnswer, Decision, Review
from influence.contracts.dataset import Dataset, DerivedFrom
from influence.errors import Conflict
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.store import Store

_CARRIED = ("format", "label_form", "prompt_template")


def apply_review(store: Store, files: Files, review: Review) -> ApplyAnswer:
    """Make the derived data set; the same decisions again give the same one.

    Raises Conflict where nothing was decided that changes a row, and EmptyFile where no row would be left.
    """
    source = store.datasets.require(review.dataset_id)
    version = store.review_data.version(review.id)
    decisions = effective_decisions(store, review)
    if not decisions:
        raise Conflict(
            f"The review {review.id} changes no row.",
            hint="Decide 'relabel' or 'remove' for some rows first.",
            extra={"version": version},
        )
    removed = sum(decision.action == "remove" for decision in decisions.values())
    manifest = DerivedFrom(
        dataset_id=source.id,
        review_id=review.id,
        review_version=version,
        rows_in=source.rows,
        rows_out=source.rows - removed,
        removed=removed,
        relabelled=len(decisions) - removed,
        reviewers=tuple(sorted({decision.by for decision in decisions.values() if decision.by})),
        at=now(),
    )
    derived = _keep(files, review, source, decisions, manifest)
    files.publish_dataset(derived.id)
    is_new = store.datasets.create(derived)
    return ApplyAnswer(
        dataset_id=derived.id,
        is_new=is_new,
        rows_in=manifest.rows_in,
        rows_out=manifest.rows_out,
        removed=manifest.removed,
        relabelled=manifest.relabelled,
    )


def _carried(source: Dataset) -> dict[str, Any]:
    """What the statistics of the source say about how its rows were read."""
    return {name: source.statistics[name] for name in _CARRIED if name in source.statistics}


def effective_decisions(store: Store, review: Review) -> dict[int, Decision]:
    """Decisions that change rows, by row."""
    found = store.review_data.scan(review.id)
    return {one.row_index: one for one in found if one.action in ("relabel", "remove")}


def cleaned_rows(file: RowFile, decisions: dict[int, Decision]) -> Iterator[dict[str, Any]]:
    """The rows that stay, in their order, with their new labels."""
    for row_index, row in enumerate(file):
        decision = decisions.get(row_index)
        if decision is None:
            yield row
        elif decision.action == "relabel":
            yield {**row, "label": decision.label}


def _keep(
    files: Files, review: Review, source: Dataset, decisions: dict[int, Decision], manifest: DerivedFrom
) -> Dataset:
    with RowFile(files.dataset(source.id)) as file:
        derived = keep_rows(
            cleaned_rows(file, decisions),
            kind=source.kind,
            columns=source.columns,
            label_names=lambda: source.label_names,
            destination_root=files.datasets,
            namespace=source.namespace,
        )
    name = f"{source.name or source.id}, {review.name or 'reviewed'}"
    return derived.model_copy(
        update={
            "name": name[:200],
            "metadata_columns": source.metadata_columns,
            "format": source.format,
            "statistics": {**derived.statistics, **_carried(source)},
            "derived_from": manifest,
            "namespace": source.namespace,
        }
    )
