"""Do rows fit a checkpoint, or the model that an evaluation trains? All that the records tell, before any loading."""

from difflib import get_close_matches

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import LossScope
from influence.contracts.dataset import Dataset, RowKind
from influence.contracts.evaluation import Subject
from influence.contracts.tasks import TASKS, TaskName
from influence.errors import InvalidRequest, LabelOutOfRange, LabelUnknown, RowsUnfit

_SHOWN = 20


def check_fit(checkpoint: Checkpoint | Subject, dataset: Dataset) -> None:
    """Raise RowsUnfit, LabelOutOfRange or LabelUnknown where the rows cannot be scored with the model."""
    task = TASKS[checkpoint.task]
    fitting = tuple(task.rows)
    if dataset.kind not in fitting:
        raise RowsUnfit(
            f"The rows of {dataset.id} are of kind '{dataset.kind}', the checkpoint's task is '{checkpoint.task}'.",
            hint=f"Send the data set with columns that make rows of kind {' or '.join(fitting)}.",
            extra={"kind": dataset.kind, "task": checkpoint.task, "fitting_kinds": list(fitting)},
        )
    if task.has_classes:
        _check_labels(checkpoint, dataset)


def choose_loss(task: TaskName, kind: RowKind, wanted: LossScope | None) -> LossScope | None:
    """The tokens that carry loss; None where it falls on the label. Raises InvalidRequest for a scope not offered."""
    offered = TASKS[task].rows[kind]
    if wanted is None:
        return offered[0] if offered else None
    if wanted not in offered:
        raise InvalidRequest(
            f"Rows of kind '{kind}' have no loss scope '{wanted}'.",
            hint=f"Use {' or '.join(map(repr, offered))}." if offered else "Leave 'loss' out: it is the label's.",
        )
    return wanted


def _check_labels(checkpoint: Checkpoint | Subject, dataset: Dataset) -> None:
    names = checkpoint.label_names
    counts: dict[str, int] = dataset.statistics.get("labels", {})
    named = [label for label in counts if not _is_class_number(label) and label not in (names or ())]
    if named:
        _refuse_names(named, names, counts)
    classes = checkpoint.num_labels
    beyond = [label for label in counts if _is_class_number(label) and label not in (names or ())]
    if classes is not None and (beyond := [label for label in beyond if int(label) >= classes]):
        raise LabelOutOfRange(
            f"Labels {', '.join(beyond[:_SHOWN])} lie outside the head, which has {classes} classes.",
            hint=f"Use labels 0 to {classes - 1}, or the checkpoint that was trained on these labels.",
            extra={"labels": beyond[:_SHOWN], "num_labels": classes, "rows": sum(counts[label] for label in beyond)},
        )


def _refuse_names(unknown: list[str], names: tuple[str, ...] | None, counts: dict[str, int]) -> None:
    near = get_close_matches(unknown[0], names or (), 1)
    if names is None:
        hint = "Send 'label_names' with the checkpoint: the names in the order of the head's outputs."
    else:
        hint = (f"Did you mean '{near[0]}'? " if near else "") + f"The checkpoint knows {', '.join(names[:_SHOWN])}."
    raise LabelUnknown(
        f"Labels {', '.join(map(repr, unknown[:_SHOWN]))} are not known to the checkpoint.",
        hint=hint,
        extra={"labels": unknown[:_SHOWN], "rows": sum(counts[label] for label in unknown)},
    )


def _is_class_number(label: str) -> bool:
    return label.isascii() and label.isdigit()
