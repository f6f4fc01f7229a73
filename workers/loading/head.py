"""The head of a base model on the hub, of which the API has not read the configuration."""

from typing import Any

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.tasks import TASKS
from influence.errors import TaskMismatch


def refuse_other_head(checkpoint: Checkpoint, config: Any) -> None:
    """Raise TaskMismatch where the model's configuration says that its head is of another task than the checkpoint's.

    Of files on this machine the API has read it, and knows better where the adapter brings a configuration of its own.
    """
    task = TASKS[checkpoint.task]
    if task.head is None or checkpoint.base_model.kind == "path":
        return
    said = getattr(config, "problem_type", None)
    if said is not None and task.problem_type not in (None, said):
        raise TaskMismatch(
            f"The base model's configuration says that its loss is {said!r}, and task '{task.name}' has another.",
            hint="Send the checkpoint with the task that it was trained for.",
        )
    if not task.head.admit(int(config.num_labels)):
        raise TaskMismatch(
            f"The base model's head has {config.num_labels} outputs; task '{task.name}' needs {task.head}.",
            hint="Send the checkpoint with the task that it was trained for.",
        )
