"""The way of training that an adapter's own files name, held against the task: another loss is never scored instead."""

from collections.abc import Iterator

from influence.checkpoint_files.adapters.training_notes import PAIRS, PLAIN, TrainingNotes
from influence.contracts.tasks import CAUSAL_LM, TASKS, TaskDeclaration, TaskName
from influence.errors import TaskMismatch


def settle_task(asked: TaskName | None, notes: TrainingNotes | None) -> TaskName | None:
    """The task asked for, or the one whose loss the adapter was trained by; None where nothing says.

    Raises TaskMismatch for a task that is not of that loss, and where none was asked for and no task has that loss.
    """
    if notes is None or notes.way in PLAIN:
        return asked
    of_way = [task for task in TASKS.values() if notes.way in task.trained_as]
    if asked is None:
        if not of_way or notes.way == PAIRS:
            raise _not_scored(notes)
        _refuse_other_loss(of_way[0], notes)
        return of_way[0].name
    if not TASKS[asked].trained_as or asked == CAUSAL_LM.name:
        return asked
    if TASKS[asked] not in of_way:
        raise TaskMismatch(
            f"{notes.file} says that the adapter was trained by {notes.way.upper()}, which is not the loss of task "
            f"{asked!r}.",
            hint=_instead(of_way),
        )
    _refuse_other_loss(TASKS[asked], notes)
    return asked


def find_loss_doubts(task: TaskName, notes: TrainingNotes | None) -> Iterator[str]:
    """What the files say of the loss that the task does not take up by itself, in sentences."""
    if notes is None or notes.way in PLAIN:
        return
    if notes.way not in TASKS[task].trained_as:
        yield (
            f"{notes.file} says that the adapter was trained by {notes.way.upper()}: scores are of the loss of task "
            f"{task!r}, which training did not follow."
        )
    elif TASKS[task].has_reference and notes.beta is not None:
        yield f"{notes.file} says beta {notes.beta:g}: send it as 'beta' of the index, where it is 0.1 when left out."


def _refuse_other_loss(task: TaskDeclaration, notes: TrainingNotes) -> None:
    """Raise TaskMismatch where the loss is a variant of the task's."""
    variants = ([f"loss_type {notes.loss_type!r}"] if notes.loss_type else []) + list(notes.beside)
    if variants:
        raise TaskMismatch(
            f"{notes.file} says that training had {' and '.join(variants)}: task {task.name!r} has another loss.",
            hint=_instead([]),
        )


def _not_scored(notes: TrainingNotes) -> TaskMismatch:
    if notes.way == PAIRS:
        tasks = " or ".join(repr(task.name) for task in TASKS.values() if PAIRS in task.trained_as)
        return TaskMismatch(
            f"{notes.file} logs rewards of chosen and rejected answers: the adapter was trained on preferences, and "
            "nothing says by which loss.",
            hint=f"Send 'task': {tasks} where it was DPO with the sigmoid loss. {_instead([])}",
        )
    return TaskMismatch(
        f"{notes.file} says that the adapter was trained by {notes.way.upper()}, a loss that is not scored.",
        hint=_instead([]),
    )


def _instead(tasks: list[TaskDeclaration]) -> str:
    names = [repr(task.name) for task in tasks]
    fitting = f"Send 'task': {' or '.join(names)}. " if names else ""
    return (
        f"{fitting}With 'task': {CAUSAL_LM.name!r} scores are of the loss of text, which training did not follow: they "
        "say what rows do to that."
    )
