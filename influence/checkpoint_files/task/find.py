"""Which task an adapter or a plain model was trained for: as its files say, and as asked where they leave it open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.multimodal import EXACT_FOR_IMAGES, is_multimodal
from influence.checkpoint_files.task.head import head_outputs, refuse_teacher
from influence.checkpoint_files.tensors import Shape
from influence.contracts.tasks import (
    CAUSAL_LM,
    IMAGE_CLASSES,
    SEQUENCE_CLASSIFICATION,
    TASKS,
    TaskDeclaration,
    TaskName,
    listed_tasks,
)
from influence.errors import TaskMismatch

#: How classes of multimodal models that generate text end.
_GENERATING = "ForConditionalGeneration"
#: What adapters of embedding models are called, and of others that peft has no word for.
_EMBEDDING = "FEATURE_EXTRACTION"


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What is known of the head that gives the answer: its outputs, and what a configuration calls its loss."""

    outputs: int | None = None
    problem_type: str | None = None


def find_task(
    config: AdapterConfig, asked: TaskName | None, head: HeadFacts, base: Mapping[str, Any] | None = None
) -> TaskName:
    """The adapter's task, by its type or the class of its base. Raises TaskMismatch where there is none, or another
    than was asked for. `base` is the base model's configuration, where it is known."""
    if config.task_type is None:
        trained_on = config.base_model_class or ""
        refuse_teacher([trained_on])
        fitting = _tasks_of([trained_on], base or {})
        if not fitting and asked is None:
            raise TaskMismatch(
                "The adapter does not say what task it was trained for.",
                hint=f"Send 'task': {listed_tasks()}.",
            )
        known = fitting or [TASKS[str(asked)]]
        return _choose(asked, known, head, f"The adapter was trained on a {trained_on}, not for {asked}.")
    fitting = [task for task in TASKS.values() if task.peft_type == config.task_type]
    if config.task_type == SEQUENCE_CLASSIFICATION.peft_type and _reads_images(base or {}):
        # PEFT has no type for classifiers of images; that of texts saves their head, too.
        fitting = [IMAGE_CLASSES]
    if not fitting:
        offered = ", ".join(f"{task.peft_type} ({task.name})" for task in TASKS.values() if task.peft_type)
        raise TaskMismatch(
            f"The adapter was trained for {config.task_type}, which is not scored.", hint=f"Offered are {offered}."
        )
    if config.task_type == _EMBEDDING and base and head.outputs is None and not _of_base(fitting, base):
        raise TaskMismatch(
            "The adapter was trained to embed texts. The loss of such a model compares the rows of a batch with each "
            "other, so that no row has a loss, or an influence, of its own.",
            hint="This adapter cannot be scored.",
        )
    return _choose(asked, fitting, head, f"The adapter was trained for {config.task_type}, not for {asked}.")


def _reads_images(base: Mapping[str, Any]) -> bool:
    """Whether a base model is given images and no texts, by its configuration."""
    has_images = any(base.get(name) for name in ("image_size", "num_channels"))
    is_for_images = has_images and "max_position_embeddings" not in base
    return is_for_images or base.get("model_type") in EXACT_FOR_IMAGES or _of_base([IMAGE_CLASSES], base)


def _of_base(fitting: Sequence[TaskDeclaration], base: Mapping[str, Any]) -> bool:
    """Whether the base model's own class is one of a task's, so that it has the head that the adapter lacks."""
    written = [name for name in base.get("architectures") or () if isinstance(name, str)]
    return any(name.endswith(task.architectures) for task in fitting for name in written)


def find_plain_task(asked: TaskName | None, config: Mapping[str, Any], shapes: Mapping[str, Shape]) -> TaskName:
    """Task of a plain model, by its own configuration where nothing was asked for. Raises TaskMismatch.

    A classifier's head has to be among the model's own tensors (or be one that only the worker knows).
    """
    head = HeadFacts(head_outputs(shapes), find_problem_type(config))
    written = [name for name in config.get("architectures") or () if isinstance(name, str)]
    refuse_teacher(written)
    fitting = _tasks_of(written, config)
    if fitting:
        return _choose(asked, fitting, head, f"The model is a {written[0][:80]}, which was not trained for {asked}.")
    if asked is None:
        raise TaskMismatch(
            f"The model ({', '.join(written)[:120] or 'of no stated architecture'}) does not say what task it was for.",
            hint=f"Send 'task': {listed_tasks()}.",
        )
    if TASKS[asked].head is not None and head.outputs is None:
        raise TaskMismatch(
            "The model's files hold no classifier's head: it would be random.",
            hint="Name the folder that the trained classifier was saved in, or send the adapter that was trained.",
        )
    return _choose(asked, [TASKS[asked]], head, "")


def _tasks_of(classes: Sequence[str], config: Mapping[str, Any]) -> list[TaskDeclaration]:
    """Tasks of models of these classes. A multimodal model that generates is a language model to rows of text."""
    fitting = [task for task in TASKS.values() if any(name.endswith(task.architectures) for name in classes)]
    if is_multimodal(config) and any(name.endswith(_GENERATING) for name in classes):
        return [CAUSAL_LM]
    return fitting


def find_problem_type(*configs: Mapping[str, Any]) -> str | None:
    """What the first of a model's configurations to say anything calls the loss of its head."""
    said = (config.get("problem_type") for config in configs)
    return next((name for name in said if isinstance(name, str)), None)


def _choose(asked: TaskName | None, fitting: Sequence[TaskDeclaration], head: HeadFacts, refusal: str) -> TaskName:
    """The task asked for where it is among the fitting ones, or the first that the head can be of."""
    if asked not in (None, *(task.name for task in fitting)):
        names = _listed(fitting, head)
        raise TaskMismatch(
            refusal,
            hint=f"Leave 'task' out or send {names}: with another head every score would be nonsense.",
        )
    stated = _of_loss(fitting, head.problem_type)
    if not stated or asked not in (None, *(task.name for task in stated)):
        raise _other_loss(asked, head, stated)
    if asked is not None:
        return asked
    possible = [task for task in stated if task.head is None or task.head.admit(head.outputs)]
    return (possible or stated)[0].name


def _of_loss(fitting: Sequence[TaskDeclaration], problem_type: str | None) -> list[TaskDeclaration]:
    """The tasks that a stated loss leaves: none where it is the loss of none of them, though some might take any."""
    known = {task.problem_type for task in fitting} - {None}
    if problem_type is None:
        return list(fitting)
    if known and problem_type not in known:
        return []
    return [task for task in fitting if task.problem_type in (None, problem_type)]


def _listed(tasks: Sequence[TaskDeclaration], head: HeadFacts) -> str:
    """The names of tasks that the head can be of, for a sentence."""
    possible = [task for task in tasks if task.head is None or task.head.admit(head.outputs)]
    return " or ".join(repr(task.name) for task in possible or tasks)


def _other_loss(asked: TaskName | None, head: HeadFacts, stated: Sequence[TaskDeclaration]) -> TaskMismatch:
    """The configuration names a loss that is not the one of the task."""
    problem_type = str(head.problem_type)
    what = "which no task here has" if asked is None else f"and task {asked!r} has another"
    names = _listed(stated, head)
    return TaskMismatch(
        f"The model's configuration says that its loss is {problem_type[:80]!r}, {what}.",
        hint=(f"Leave 'task' out or send {names}. " if stated else "")
        + "If training overrode it, send the trained model's config.json, with its 'problem_type', beside the adapter.",
        extra={"problem_type": problem_type[:80]},
    )
