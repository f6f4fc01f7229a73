"""The head of an adapter or of a plain model: its outputs, and the names of its classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from influence.checkpoint_files.tensors import HEADS, TOP_HEADS, AdapterTensors, Shape, is_of_head
from influence.contracts.tasks import TASKS, TaskName, names_classes
from influence.errors import InvalidRequest, TaskMismatch
from influence.rows.labels import are_label_names

#: What models call the layers above their encoder.
_HEAD_NAMES = (*HEADS, "classification_head", "logits_proj", "sequence_summary", "pre_classifier", "cls")
#: The layer that gives the logits, within a head of several layers.
_OUTPUT_LAYERS = ("out_proj", "output", "dense_out", "linear")
#: A second head beside the one that labels teach; both are asked, and they have as many outputs.
_SECOND_HEAD = "dist_head."
#: Heads, and classes of models, that a teacher trains, which labels alone do not.
_TAUGHT_HEADS = ("distillation_classifier.", "classifier_distill.")
_TAUGHT = "ForImageClassificationWithTeacher"


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
    outputs = find_outputs(tensors, base_shapes)
    refuse_teacher(tensors.saved)
    if outputs is None and base_shapes and not (_has_head(tensors.saved) or _has_head(base_shapes)):
        raise TaskMismatch(
            "Neither the adapter nor the base model holds a classifier's head: it would be random.",
            hint="Train with the head in modules_to_save, or send a base model that holds it. task_type SEQ_CLS puts "
            "only heads called 'classifier' or 'score' there by itself; others have to be named, 'classification_head' "
            "of T5 and BART, 'logits_proj' and 'sequence_summary' of XLNet, or they are trained and not saved.",
        )
    if not head.admit(outputs):
        raise TaskMismatch(
            f"The classifier's head has {outputs} {'output' if outputs == 1 else 'outputs'}; "
            f"task '{task}' needs {head}.",
            hint="Send the task that the head was trained for, or train with as many outputs as the task needs.",
        )
    return outputs


def refuse_teacher(names: Iterable[str]) -> None:
    """Raise TaskMismatch where a name, of a class or of a tensor, says that a second head learnt from a teacher."""
    taught = next((name for name in names if name.endswith(_TAUGHT) or name.startswith(_TAUGHT_HEADS)), None)
    if taught is not None:
        raise TaskMismatch(
            f"The model has a second head, which a teacher trained ({taught[:120]}): its loss needs the teacher's "
            "answers, which no row holds.",
            hint="This model cannot be scored. Fine-tune it as the class with one head, DeiTForImageClassification or "
            "LevitForImageClassification: it reads the same files.",
        )


def _has_head(names: Iterable[str]) -> bool:
    return any(is_of_head(name) or f".{head}." in f".{name}" for head in _HEAD_NAMES for name in names)


def names_head(pattern: str) -> bool:
    """Whether a pattern of modules speaks of what may be a classifier's head, which a base model need not hold."""
    return pattern in TOP_HEADS or not {*_HEAD_NAMES}.isdisjoint(pattern.split("."))


def find_outputs(tensors: AdapterTensors, base_shapes: Mapping[str, Shape]) -> int | None:
    """Outputs of the head that the adapter saved, or else of the base model's; None where unknown."""
    outputs = head_outputs(tensors.saved)
    return outputs if outputs is not None else head_outputs(base_shapes)


def head_outputs(shapes: Mapping[str, Shape]) -> int | None:
    """Outputs of the classifier's head among these tensors; None where there is none, or more than one."""
    weights = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 2 and name.endswith(".weight") and is_of_head(name) and not name.startswith(_SECOND_HEAD)
    }
    last = [shape for name, shape in weights.items() if name.split(".")[-2] in (*HEADS, *TOP_HEADS, *_OUTPUT_LAYERS)]
    # A head that is a sequence numbers its layers, as ResNet's does.
    last = last or [shape for name, shape in weights.items() if name.split(".")[-2].isdecimal()]
    return last[0][0] if len(last) == 1 else None


def choose_label_names(
    task: TaskName, num_labels: int | None, asked: Sequence[str] | None, model_config: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """Names of the head's classes, as `find_label_names`; None for a task without any.

    Raises InvalidRequest for names that are none or have nothing to name, TaskMismatch where their count is not the
    head's.
    """
    if asked is not None and not are_label_names(asked):
        raise InvalidRequest("'label_names' must be different, non-empty names.")
    if names_classes(task):
        return find_label_names(num_labels, asked, model_config)
    if asked is not None:
        raise InvalidRequest(
            f"'label_names' name the classes of a head, and task {task!r} has none.", hint="Leave 'label_names' out."
        )
    return None


def find_label_names(
    num_labels: int | None, asked: Sequence[str] | None, model_config: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """Names of the classes: as asked, or the `id2label` of a model's configuration unless it says nothing.

    Raises TaskMismatch where the count is not the head's, and where a configuration contradicts itself.
    """
    if asked is not None:
        if num_labels is not None and len(asked) != num_labels:
            raise TaskMismatch(
                f"{len(asked)} label names for a head with {num_labels} outputs.",
                hint="List each class once, in the order of the head's outputs.",
            )
        return tuple(asked)
    listed = model_config.get("id2label")
    by_number = _names_by_number(model_config.get("label2id"), num_labels)
    if not isinstance(listed, dict) or num_labels is None:
        return by_number
    said = [name for number, name in listed.items() if isinstance(name, str) and not _says_nothing(number, name)]
    if len(listed) != num_labels:
        _refuse_count(len(listed), num_labels, said)
        return by_number
    names = [listed.get(str(place)) for place in range(num_labels)]
    spelt = [name for name in names if isinstance(name, str) and 0 < len(name) <= 512]
    _refuse_contradiction(spelt, model_config.get("label2id"))
    if not said:
        return by_number
    return tuple(spelt) if len(set(spelt)) == num_labels else None


def _says_nothing(number: Any, name: str) -> bool:
    """Whether a class is called as transformers calls those that nobody named."""
    return name in (f"LABEL_{number}", str(number))


def _names_by_number(numbers: Any, num_labels: int | None) -> tuple[str, ...] | None:
    """Names by label2id alone, where it numbers as many as the head has outputs, each once."""
    if not isinstance(numbers, dict) or num_labels is None or len(numbers) != num_labels:
        return None
    places = {place: name for name, place in numbers.items() if type(place) is int and 0 < len(name) <= 512}
    if sorted(places) != [*range(num_labels)] or all(_says_nothing(place, name) for place, name in places.items()):
        return None
    return tuple(places[place] for place in range(num_labels))


def _refuse_count(count: int, num_labels: int, said: Sequence[str]) -> None:
    """Raise TaskMismatch where names are given, and not as many as the head has outputs."""
    if said:
        raise TaskMismatch(
            f"config.json names {count} classes, {said[0][:80]!r} for one, and the head has {num_labels} outputs.",
            hint="Send 'label_names' in the order of the head's outputs, or the config.json that training wrote.",
        )


def _refuse_contradiction(names: Sequence[str], numbers: Any) -> None:
    """Raise TaskMismatch where the same names have other numbers in label2id: trainers map labels by either."""
    if not isinstance(numbers, dict) or numbers.keys() != {*names}:
        return
    wrong = next((place for place, name in enumerate(names) if numbers[name] != place), None)
    if wrong is not None:
        raise TaskMismatch(
            f"config.json calls class {wrong} {names[wrong][:80]!r} in id2label, and numbers this name "
            f"{str(numbers[names[wrong]])[:20]} in label2id.",
            hint="Send 'label_names' in the order of the head's outputs, as training had them.",
        )
