"""Last step of an audit: columns from the stages' parts, suspicion, summary; then the audit is ready."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.auditing.classes import ClassFigures, count_confusions, summarise_classes
from influence.auditing.signals import CLASS_SIGNALS, measure_oddness
from influence.auditing.suspicion import rank_suspicion
from influence.contracts.audit import Audit, ClassSummary, Confusion, Suspect
from influence.contracts.common import Json
from influence.errors import NonFiniteGradients
from influence.store.work import finish
from workers.auditing.evaluation import EvaluationStage
from workers.auditing.labels import LabelStage
from workers.auditing.self_influence import SelfInfluenceStage
from workers.auditing.stages import AuditedIndex, Stage
from workers.runtime.open import open_rows

Table = dict[str, NDArray[Any]]
_TOO_MANY_CLASSES = "There are too many classes for a confusion matrix; filter the rows by 'disagree' instead."


@dataclass(frozen=True)
class Work:
    """Stages in the order in which they are worked on; None where no signal needs one."""

    labels: LabelStage | None
    evaluation: EvaluationStage | None
    self_influence: SelfInfluenceStage | None

    @property
    def stages(self) -> list[Stage]:
        found: list[Stage | None] = [self.labels, self.evaluation, self.self_influence]
        return [stage for stage in found if stage is not None]


def finish_audit(audited: AuditedIndex, work: Work) -> bool:
    """Store table and summary; False when parts were lost meanwhile, which the next turn computes again."""
    runtime, audit = audited.runtime, audited.audit
    table = make_table(audited, work)
    if table is None:
        return False
    runtime.store.audit_data.write_columns(audit.id, table)
    found: Json = {
        "rows_audited": audited.rows,
        "columns": tuple(table),
        "not_audited": audited.index.skipped_rows,
        "fidelity": audited.index.fidelity,
        **_summarise(audited, table),
    }
    if work.evaluation is not None:
        found |= {"evaluation_rows": work.evaluation.total, "evaluation_loss": work.evaluation.mean_loss}
    finish(runtime.store, audit, lambda current: current.model_copy(update=found))
    return True


def make_table(audited: AuditedIndex, work: Work) -> Table | None:
    """Columns (n,) of the rows audited, suspicion among them; None when parts were lost."""
    audit, hot = audited.audit, audited.hot
    table: Table = {"row_index": hot.row_indexes, "loss": hot.losses}
    if work.labels is not None:
        labels = work.labels.gather()
        if labels is None:
            return None
        table |= _label_columns(audit, labels)
    if work.self_influence is not None:
        scores = work.self_influence.gather()
        if scores is None:
            return None
        table["self_influence"] = scores
    if work.evaluation is not None:
        table["influence"] = _influence(audited, work.evaluation.mean_gradients())
    oddness: Table = {signal.name: measure_oddness(signal.name, table) for signal in audit.signals}
    table["suspicion"] = rank_suspicion(oddness, {signal.name: signal.weight for signal in audit.signals})
    return table


def _label_columns(audit: Audit, found: NDArray[Any]) -> Table:
    columns: Table = {"label": found[:, 0].astype(np.int32)}
    if CLASS_SIGNALS & set(audit.signal_names):
        columns |= {
            "predicted": found[:, 1].astype(np.int32),
            "probability": np.ascontiguousarray(found[:, 2]),
            "other_probability": np.ascontiguousarray(found[:, 3]),
        }
    return columns


def _influence(audited: AuditedIndex, mean: dict[str, Any]) -> NDArray[Any]:
    request, hot = audited.audit.request, audited.hot
    influence = hot.scorer(request.method, request.damping_scale)(mean)[0]
    if not np.isfinite(influence).all():
        raise NonFiniteGradients("Influence is not a number for some rows.", hint="Use a larger damping_scale.")
    return np.asarray(influence)


def _summarise(audited: AuditedIndex, table: Table) -> Json:
    """Fields of the record that speak of labels; none for rows without classes."""
    if "label" not in table:
        return {}
    found: Json = {"classes": _describe_classes(audited, summarise_classes(table), table)}
    if "predicted" not in table:
        return found
    found["accuracy"] = float(np.mean(table["predicted"] == table["label"]))
    counted = count_confusions(table)
    if counted is None:
        return {**found, "notes": (*audited.audit.notes, _TOO_MANY_CLASSES)}
    labels, counts = counted
    names = tuple(audited.audit.spell(label) for label in labels.tolist())
    return {**found, "confusion": Confusion(labels=names, counts=tuple(map(tuple, counts.tolist())))}


def _describe_classes(audited: AuditedIndex, classes: list[ClassFigures], table: Table) -> tuple[ClassSummary, ...]:
    rows = open_rows(audited.runtime, audited.index.spec.dataset_id)

    def describe(position: int) -> Suspect:
        row_index = int(table["row_index"][position])
        (row,) = rows.read_many([row_index])
        return Suspect(row_index=row_index, row_id=str(row["id"]), suspicion=float(table["suspicion"][position]))

    return tuple(
        ClassSummary(
            label=audited.audit.spell(figures.label),
            rows=figures.rows,
            mean_loss=figures.mean_loss,
            accuracy=figures.accuracy,
            mean_suspicion=figures.mean_suspicion,
            most_suspicious=tuple(map(describe, figures.suspects.tolist())),
        )
        for figures in classes
    )
