"""Task and classification head of an adapter, or of a plain model."""

from collections.abc import Mapping, Sequence
from typing import Any

from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.tensors import HEADS, AdapterTensors, Shape
from influence.contracts.common import TaskName
from influence.errors import TaskMismatch

_TASKS: dict[str, TaskName] = {"SEQ_CLS": "sequence_classification", "CAUSAL_LM": "causal_lm"}
#: The layer that gives the logits, within a head of several layers.
_OUTPUT_LAYERS = ("out_proj", "output", "dense_out")


def find_task(config: AdapterConfig, asked: TaskName | None) -> TaskName:
    """The adapter's task. Raises TaskMismatch where there is none, or another than was asked for."""
    if config.task_type is None:
        if asked is None:
            raise TaskMismatch(
                "The adapter does not say what task it was trained for.",
                hint="Send 'task': sequence_classification or causal_lm.",
            )
        return asked
    task = _TASKS.get(config.task_type)
    if task is None:
        raise TaskMismatch(
            f"The adapter was trained for {config.task_type}, which is not scored.",
            hint="Offered are SEQ_CLS (sequence_classification) and CAUSAL_LM (causal_lm).",
        )
    if asked not in (None, task):
        raise TaskMismatch(
            f"The adapter was trained for {config.task_type}, not for {asked}.",
            hint=f"Leave 'task' out or send {task!r}: with another head every score would be nonsense.",
        )
    return task


def find_plain_task(asked: TaskName | None, config: Mapping[str, Any], shapes: Mapping[str, Shape]) -> TaskName:
    """Task of a plain model, by its own configuration where nothing was asked for. Raises TaskMismatch.

    A classifier's head has to be among the model's own tensors (or be one that only the worker knows).
    """
    written = [name for name in config.get("architectures") or () if isinstance(name, str)]
    is_classifier = any(name.endswith("ForSequenceClassification") for name in written)
    known: TaskName | None = "sequence_classification" if is_classifier else None
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in written):
        known = "causal_lm"
    task = asked or known
    if task is None:
        raise TaskMismatch(
            f"The model ({', '.join(written)[:120] or 'of no stated architecture'}) does not say what task it was for.",
            hint="Send 'task': sequence_classification or causal_lm.",
        )
    if known is not None and task != known:
        raise TaskMismatch(
            f"The model is a {written[0][:80]}, which was not trained for {task}.",
            hint=f"Leave 'task' out or send {known!r}: with another head every score would be nonsense.",
        )
    if task == "sequence_classification" and not is_classifier and head_outputs(shapes) is None:
        raise TaskMismatch(
            "The model's files hold no classifier's head: it would be random.",
            hint="Name the folder that the trained classifier was saved in, or send the adapter that was trained.",
        )
    return task


def count_labels(task: TaskName, tensors: AdapterTensors, base_shapes: Mapping[str, Shape]) -> int | None:
    """Outputs of the classifier's head, as saved by the adapter or else held by the base model; None where unknown.

    Raises TaskMismatch for a head under a language model and for a head with one output (regression).
    """
    outputs = head_outputs(tensors.saved)
    if task == "causal_lm":
        if outputs is not None:
            raise TaskMismatch(
                "The adapter holds a classifier's head but is to be scored as a language model.",
                hint="Send task 'sequence_classification'.",
            )
        return None
    outputs = outputs if outputs is not None else head_outputs(base_shapes)
    if outputs == 1:
        raise TaskMismatch(
            "The classifier's head has one output: a regression, which is not scored.",
            hint="Train with two or more classes.",
        )
    return outputs


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
