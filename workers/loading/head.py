"""The head of a base model: which of its tensors are a head's, and whose task it is."""

import re
from typing import Any

from influence.checkpoint_files.adapters.names import EMBEDDINGS
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.tasks import TASKS
from influence.errors import TaskMismatch

#: A number in a name is a layer's; heads, which tasks and trainers leave out, have none.
_OF_LAYER = re.compile(r"\.\d+\.")


def is_below_head(name: str, inner: str) -> bool:
    """Whether a tensor belongs to the model below its head, all of whose names begin with `inner`; poolers and
    embeddings are a trainer's to save."""
    module = name.rpartition(".")[0].rpartition(".")[2]
    is_own = bool(inner) and name.startswith(f"{inner}.") and "pooler" not in name and module not in EMBEDDINGS
    return is_own or _OF_LAYER.search(name) is not None


def refuse_other_head(checkpoint: Checkpoint, config: Any) -> None:
    """Raise TaskMismatch where a model's configuration says that its head is of another task than the checkpoint's.

    Of a model on the hub the API has not read it. Of files on this machine it has, and knows better where the adapter
    brings a configuration of its own.
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
