"""Task and classification head of an adapter, or of a plain model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.tensors import HEADS, AdapterTensors, Shape
from influence.contracts.tasks import TASKS, TaskDeclaration, TaskName, listed_tasks
from influence.errors import TaskMismatch

#: What models call the layers above their encoder.
_HEAD_NAMES = (*HEADS, "classification_head", "logits_proj", "sequence_summary", "pre_classifier", "cls")
#: The layer that gives the logits, within a head of several layers.
_OUTPUT_LAYERS = ("out_proj", "output", "dense_out")


def find_task(config: AdapterConfig, asked: TaskName | None) -> TaskName:
    """The adapter's task, by its type or the class of its base. Raises TaskMismatch where there is none, or another
    than was asked for."""
    if config.task_type is None:
        trained_on = config.base_model_class or ""
        fitting = [task for task in TASKS.values() if trained_on.endswith(task.architectures)]
        if not fitting and asked is None:
            raise TaskMismatch(
                "The adapter does not say what task it was trained for.",
                hint=f"Send 'task': {listed_tasks()}.",
            )
        if not fitting:
            assert asked is not None
            return asked
        return _choose(asked, fitting, f"The adapter was trained on a {trained_on}, not for {asked}.")
    fitting = [task for task in TASKS.values() if task.peft_type == config.task_type]
    if not fitting:
        offered = ", ".join(f"{task.peft_type} ({task.name})" for task in TASKS.values())
        raise TaskMismatch(
            f"The adapter was trained for {config.task_type}, which is not scored.", hint=f"Offered are {offered}."
        )
    return _choose(asked, fitting, f"The adapter was trained for {config.task_type}, not for {asked}.")


def find_plain_task(asked: TaskName | None, config: Mapping[str, Any], shapes: Mapping[str, Shape]) -> TaskName:
    """Task of a plain model, by its own configuration where nothing was asked for. Raises TaskMismatch.

    A classifier's head has to be among the model's own tensors (or be one that only the worker knows).
    """
    written = [name for name in config.get("architectures") or () if isinstance(name, str)]
    fitting = [task for task in TASKS.values() if any(name.endswith(task.architectures) for name in written)]
    if not fitting and asked is None:
        raise TaskMismatch(
            f"The model ({', '.join(written)[:120] or 'of no stated architecture'}) does not say what task it was for.",
            hint=f"Send 'task': {listed_tasks()}.",
        )
    if fitting:
        return _choose(asked, fitting, f"The model is a {written[0][:80]}, which was not trained for {asked}.")
    assert asked is not None
    if TASKS[asked].head is not None and head_outputs(shapes) is None:
        raise TaskMismatch(
            "The model's files hold no classifier's head: it would be random.",
            hint="Name the folder that the trained classifier was saved in, or send the adapter that was trained.",
        )
    return asked


def _choose(asked: TaskName | None, fitting: Sequence[TaskDeclaration], refusal: str) -> TaskName:
    """The task asked for where it is among the fitting ones, or the first of them. Raises TaskMismatch."""
    names = [task.name for task in fitting]
    if asked not in (None, *names):
        raise TaskMismatch(
            refusal,
            hint=f"Leave 'task' out or send {' or '.join(map(repr, names))}: with another head every score would be "
            "nonsense.",
        )
    return asked or names[0]


def count_labels(task: TaskName, tensors: AdapterTensors, base_shapes: Mapping[str, Shape]) -> int | None:
    """Outputs of the classifier's head, as saved by the adapter or else held by the base model; None where unknown.

    Raises TaskMismatch for a head under a language model and for one with too few or too many outputs for the task.
    """
    outputs = head_outputs(tensors.saved)
    head = TASKS[task].head
    if head is None:
        if outputs is not None:
            with_head = " or ".join(repr(other.name) for other in TASKS.values() if other.head is not None)
            raise TaskMismatch(
                "The adapter holds a classifier's head but is to be scored as a language model.",
                hint=f"Send task {with_head}.",
            )
        return None
    outputs = outputs if outputs is not None else head_outputs(base_shapes)
    if outputs is None and base_shapes and not (_has_head(tensors.saved) or _has_head(base_shapes)):
        raise TaskMismatch(
            "Neither the adapter nor the base model holds a classifier's head: it would be random.",
            hint="Train with the head in modules_to_save (task_type SEQ_CLS puts it there), or send a base model that "
            "holds the head.",
        )
    if not head.admit(outputs):
        raise TaskMismatch(
            f"The classifier's head has {outputs} {'output' if outputs == 1 else 'outputs'}; "
            f"task '{task}' needs {head}.",
            hint="Send the task that the head was trained for, or train with as many outputs as the task needs.",
        )
    return outputs


def _has_head(names: Iterable[str]) -> bool:
    return any(f".{head}." in f".{name}" for head in _HEAD_NAMES for name in names)


def head_outputs(shapes: Mapping[str, Shape]) -> int | None:
    """Outputs of the classifier's head among these tensors; None where there is none, or more than one."""
    weights = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 2 and name.endswith(".weight") and any(f".{head}." in f".{name}" for head in HEADS)
    }
    last = [shape for name, shape in weights.items() if name.split(".")[-2] in (*HEADS, *_OUTPUT_LAYERS)]
    return last[0][0] if len(last) == 1 else None


def find_label_names(
    num_labels: int | None, asked: Sequence[str] | None, model_config: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """Names of the classes: as asked, or the `id2label` of a model's configuration unless it says nothing.

    Raises TaskMismatch where the count is not the head's.
    """
    if asked is not None:
        if num_labels is not None and len(asked) != num_labels:
            raise TaskMismatch(
                f"{len(asked)} label names for a head with {num_labels} outputs.",
                hint="List each class once, in the order of the head's outputs.",
            )
        return tuple(asked)
    listed = model_config.get("id2label")
    if not isinstance(listed, dict) or num_labels is None or len(listed) != num_labels:
        return None
    names = [listed.get(str(place)) for place in range(num_labels)]
    spelt = [name for name in names if isinstance(name, str) and 0 < len(name) <= 512]
    says_nothing = all(name == f"LABEL_{place}" for place, name in enumerate(spelt))
    return tuple(spelt) if len(set(spelt)) == num_labels and not says_nothing else None
