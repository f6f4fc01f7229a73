"""Do rows fit a checkpoint, or the model that an evaluation trains? All that the records tell, before any loading."""

from pathlib import Path

from app.checks.labels import check_labels
from influence.checkpoint_files.adapters.trainer_templates.known import find_template
from influence.checkpoint_files.tokenizers.template_files import mentions_template
from influence.contracts.checkpoint import Checkpoint, TrainingRecord
from influence.contracts.common import MAX_ROW_TOKENS, LossScope, Reduction
from influence.contracts.dataset import COMPLETION, CONVERSATION, MULTI_LABEL, ROW_FORMS, Dataset, RowKind
from influence.contracts.evaluation.record import Subject
from influence.contracts.index import DEFAULT_MAX_LENGTH
from influence.contracts.tasks import TASKS, TaskDeclaration, TaskName, tasks_like
from influence.errors import InvalidRequest, RowsUnfit
from influence.rows.label_forms.tag_names import inside_classes


def check_compatible(checkpoint: Checkpoint | Subject, dataset: Dataset) -> None:
    """Raise RowsUnfit, LabelOutOfRange or LabelUnknown where the rows cannot be scored with the model."""
    task = TASKS[checkpoint.task]
    fitting = tuple(task.rows)
    if dataset.kind not in fitting:
        raise RowsUnfit(
            f"The rows of {dataset.id} are of kind '{dataset.kind}', the checkpoint's task is '{checkpoint.task}'.",
            hint=_describe_fitting(checkpoint, dataset),
            extra={"kind": dataset.kind, "task": checkpoint.task, "fitting_kinds": list(fitting)},
        )
    check_labels(checkpoint, dataset)
    if isinstance(checkpoint, Checkpoint) and dataset.kind == CONVERSATION.name:
        _require_template(checkpoint)


def _require_template(checkpoint: Checkpoint) -> None:
    """Raise RowsUnfit for conversations where every file was read and none has a template to write them by."""
    read, trained = checkpoint.tokenizer, checkpoint.training
    if read is None or not read.files or read.chat_template_source is not None or checkpoint.base_model.kind != "path":
        return
    if trained is not None and find_template(trained):
        return
    if mentions_template(Path(checkpoint.base_model.location)):
        return
    raise RowsUnfit(
        "The rows are conversations, and neither the adapter's files nor the base model's have a chat template.",
        hint="Put the chat template of training beside the adapter, as chat_template.jinja, and send it again; or send "
        "the rows as prompt and completion, in training's own words.",
    )


def _describe_fitting(checkpoint: Checkpoint | Subject, dataset: Dataset) -> str:
    """What to send instead: other columns, or the checkpoint by the task that takes such rows."""
    task = TASKS[checkpoint.task]
    roles = "; ".join(f"{_spell_readings(kind)} for {kind}" for kind in task.rows)
    others = [other for other in tasks_like(task) if dataset.kind in other.rows and _admits(other, checkpoint)]
    other = f", or the checkpoint with task {' or '.join(repr(other.name) for other in others)}" if others else ""
    return f"Send the data set with 'columns' of these roles ({roles}){other}." + _describe_flags(task, dataset)


def _spell_readings(kind: RowKind) -> str:
    """The roles that make a row of a kind, the usual ones last."""
    return " or ".join(" + ".join(reading.plain) for reading in reversed(ROW_FORMS[kind].readings))


def _describe_flags(task: TaskDeclaration, dataset: Dataset) -> str:
    """What to do with a column of 0 and 1 for each class, where the rows may have such."""
    flags = [name for name, kind in dataset.metadata_columns.items() if kind in ("number", "boolean")]
    if MULTI_LABEL.name not in task.rows or len(flags) < 2:
        return ""
    vectors = f"frame['labels'] = frame[{flags[:3]!r}].astype(int).values.tolist()"
    return (
        " Where each class has a column of 0 and 1, make one of them, in the order of the head's outputs, such as "
        f'{vectors[:300]}, write it as JSON Lines, and send columns={{"text": "...", "label_vector": "labels"}}.'
    )


def _admits(task: TaskDeclaration, checkpoint: Checkpoint | Subject) -> bool:
    return task.head is None or task.head.admit(checkpoint.num_labels)


def choose_loss(
    checkpoint: Checkpoint | Subject, dataset: Dataset, wanted: LossScope | None, trained: TrainingRecord | None = None
) -> LossScope | None:
    """The tokens that carry loss; None where it falls on the label. Raises InvalidRequest for a scope not offered.

    Raises TaskMismatch where the names of classes do not tell what tags it means. Where none is wanted it is that of
    training, as far as the files of a checkpoint say it, or what the rows imply.
    """
    offered = TASKS[checkpoint.task].rows[dataset.kind]
    if wanted is None:
        usual = dataset.implied_loss or (offered[0] if offered else None)
        said = None if trained is None else find_trained_loss(trained, dataset)
        return said if said in offered and (said == "all" or dataset.implied_loss is None) else usual
    if wanted not in offered:
        raise InvalidRequest(
            f"Rows of kind '{dataset.kind}' have no loss scope '{wanted}'.",
            hint=f"Use {' or '.join(map(repr, offered))}." if offered else "Leave 'loss' out: it is the label's.",
        )
    if wanted == "inside":
        inside_classes(checkpoint.label_names or dataset.label_names)
    return wanted


def choose_length(checkpoint: Checkpoint, wanted: int | None) -> int:
    """Tokens per row: as wanted, or else as in training, as far as files say it."""
    trained = None if checkpoint.training is None else checkpoint.training.max_length
    found = next(length for length in (wanted, trained, DEFAULT_MAX_LENGTH) if length is not None)
    return min(found, MAX_ROW_TOKENS)


def find_trained_loss(trained: TrainingRecord, dataset: Dataset) -> LossScope | None:
    """Where training had the loss of such rows, as far as the files say it."""
    is_completion = dataset.kind == COMPLETION.name or dataset.implied_loss == "completion"
    of_completions = trained.completion_loss if is_completion else None
    return trained.loss if of_completions is None else of_completions


def check_reduction(task: TaskName, dataset: Dataset, wanted: Reduction) -> Reduction:
    """The reduction wanted. Raises InvalidRequest for a sum over tokens where no token carries loss."""
    if wanted == "sum" and not TASKS[task].rows[dataset.kind]:
        raise InvalidRequest(
            f"Rows of kind '{dataset.kind}' have one loss, on their label: there are no losses of tokens to sum up.",
            hint="Leave 'reduction' out.",
        )
    return wanted
