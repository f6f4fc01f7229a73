"""Tasks, each declared once: which rows it takes, where its loss falls, how it is recognised and what it answers.

What a task does with rows and a model is a class of its own, registered in workers/tasks/registry.py. Everything else
asks the declaration, so that no other file knows a task by its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from influence.contracts.common import LossScope
from influence.contracts.dataset import (
    CLASSIFICATION,
    COMPLETION,
    CONVERSATION,
    IMAGE_CAPTION,
    IMAGE_CLASSIFICATION,
    MULTI_LABEL,
    PREFERENCE,
    REGRESSION,
    TEXT,
    TOKENS,
    RowKind,
)
from influence.errors import RowsUnfit


@dataclass(frozen=True, slots=True)
class HeadOutputs:
    """What the head that gives a task's answer may look like: `most` is None where any number of outputs is right.

    `are_classes`: every output stands for a class, which may have a name.
    """

    least: int
    most: int | None = None
    are_classes: bool = False

    def admit(self, outputs: int | None) -> bool:
        """Whether a head with so many outputs can be the task's; None stands for a number that is not known yet."""
        return outputs is None or (self.least <= outputs and (self.most is None or outputs <= self.most))

    def __str__(self) -> str:
        if self.most is None:
            return f"{self.least} or more"
        return str(self.least) if self.most == self.least else f"{self.least} to {self.most}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDeclaration:
    """One kind of training.

    `rows`: the kinds of rows it takes, each with what `loss` may be there, the default first; none where the loss
    falls on the label. `peft_type`: what adapters of the task call it. `architectures`: how the class names of plain
    models of the task end. `auto_class`: the class of transformers that loads its models. `head`: outputs of the head
    on top of the base model; None for the language model's own. `problem_type`: what a model's configuration calls
    the loss of that head. `has_classes`: each row is of one of a few classes, not of several. `answers`: a label or a
    number, which one forward pass gives, or text or an image, which is generated; nothing where rows ask nothing.
    `has_reference`: the loss compares the model with its base, the adapter off, by a factor `beta`.
    `centers_rewards`: training may have added a factor times the squared sum of both rewards of a pair.
    `splits_by_token`: a row is read as one sequence of tokens, and what a layer makes of a position can be told of one
    of them. `trained_as`: what trainers call training by this loss. `trains_anew`: evaluations can train models of it.
    `reads`: what the model is given, tokens of a text or the pixels of an image. Models of a task without an
    `auto_class` are pipelines of several parts; their adapters name no type.
    """

    name: str
    rows: Mapping[RowKind, tuple[LossScope, ...]]
    peft_type: str | None
    architectures: tuple[str, ...]
    auto_class: str | None
    head: HeadOutputs | None = None
    problem_type: str | None = None
    has_classes: bool = False
    answers: Literal["label", "number", "text", "image", "nothing"]
    has_reference: bool = False
    centers_rewards: bool = False
    splits_by_token: bool = True
    trained_as: tuple[str, ...] = ()
    trains_anew: bool = True
    reads: Literal["text", "image"] = "text"

    @property
    def is_pipeline(self) -> bool:
        """Whether its models are pipelines of several parts."""
        return self.auto_class is None


SEQUENCE_CLASSIFICATION = TaskDeclaration(
    name="sequence_classification",
    rows={CLASSIFICATION.name: ()},
    head=HeadOutputs(2, are_classes=True),
    problem_type="single_label_classification",
    peft_type="SEQ_CLS",
    architectures=("ForSequenceClassification",),
    auto_class="AutoModelForSequenceClassification",
    has_classes=True,
    answers="label",
)
SEQUENCE_REGRESSION = replace(
    SEQUENCE_CLASSIFICATION,
    name="regression",
    rows={REGRESSION.name: ()},
    head=HeadOutputs(1),
    problem_type="regression",
    has_classes=False,
    answers="number",
)
MULTI_LABEL_CLASSIFICATION = replace(
    SEQUENCE_CLASSIFICATION,
    name="multi_label_classification",
    rows={MULTI_LABEL.name: ()},
    head=HeadOutputs(1, are_classes=True),
    problem_type="multi_label_classification",
    has_classes=False,
)
TOKEN_CLASSIFICATION = TaskDeclaration(
    name="token_classification",
    rows={TOKENS.name: ("first", "all", "inside")},
    peft_type="TOKEN_CLS",
    architectures=("ForTokenClassification",),
    auto_class="AutoModelForTokenClassification",
    head=HeadOutputs(2, are_classes=True),
    answers="label",
    splits_by_token=False,
)
CAUSAL_LM = TaskDeclaration(
    name="causal_lm",
    rows={
        COMPLETION.name: ("completion", "all"),
        CONVERSATION.name: ("assistant", "completion", "all"),
        TEXT.name: ("all",),
    },
    peft_type="CAUSAL_LM",
    architectures=("ForCausalLM", "LMHeadModel"),
    auto_class="AutoModelForCausalLM",
    answers="text",
    trained_as=("sft", "pt"),
)
SEQ2SEQ_LM = TaskDeclaration(
    name="seq2seq_lm",
    rows={COMPLETION.name: ("completion",)},
    peft_type="SEQ_2_SEQ_LM",
    architectures=("ForConditionalGeneration", "MarianMTModel"),
    auto_class="AutoModelForSeq2SeqLM",
    answers="text",
    splits_by_token=False,
)
IMAGE_CLASSES = TaskDeclaration(
    name="image_classification",
    rows={IMAGE_CLASSIFICATION.name: ()},
    peft_type="FEATURE_EXTRACTION",
    architectures=("ForImageClassification",),
    auto_class="AutoModelForImageClassification",
    head=HeadOutputs(2, are_classes=True),
    problem_type="single_label_classification",
    has_classes=True,
    answers="label",
    splits_by_token=False,
    reads="image",
)

DIRECT_PREFERENCE = replace(
    CAUSAL_LM,
    name="direct_preference",
    rows={PREFERENCE.name: ()},
    answers="nothing",
    has_reference=True,
    splits_by_token=False,
    trained_as=("dpo", "pairs"),
    trains_anew=False,
)
PAIRWISE_REWARD = replace(
    SEQUENCE_REGRESSION,
    name="pairwise_reward",
    rows={PREFERENCE.name: ()},
    head=HeadOutputs(1, 1),
    problem_type=None,
    answers="nothing",
    centers_rewards=True,
    splits_by_token=False,
    trained_as=("reward",),
    trains_anew=False,
)
TEXT_TO_IMAGE = TaskDeclaration(
    name="text_to_image",
    rows={IMAGE_CAPTION.name: ()},
    peft_type=None,
    architectures=(),
    auto_class=None,
    answers="image",
    splits_by_token=False,
)

_TASKS = (
    SEQUENCE_CLASSIFICATION,
    SEQUENCE_REGRESSION,
    MULTI_LABEL_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    CAUSAL_LM,
    SEQ2SEQ_LM,
    DIRECT_PREFERENCE,
    PAIRWISE_REWARD,
    TEXT_TO_IMAGE,
    IMAGE_CLASSES,
)
#: Every task by name. Where several fit, the first is taken.
TASKS: dict[str, TaskDeclaration] = {task.name: task for task in _TASKS}


def training_task(kind: RowKind, architectures: Sequence[str] = ()) -> TaskDeclaration:
    """The task that a base model is trained for on rows of a kind: that of its own class where it takes such rows.

    Raises RowsUnfit where no task takes them.
    """
    fitting = [task for task in TASKS.values() if kind in task.rows]
    if not fitting:
        raise RowsUnfit(f"No task is trained on rows of kind '{kind}'.", hint="Name rows of another kind.")
    of_model = [task for task in fitting if any(name.endswith(task.architectures) for name in architectures)]
    return (of_model or fitting)[0]


def tasks_like(task: TaskDeclaration) -> list[TaskDeclaration]:
    """Other tasks that adapters of the same type can be of."""
    if task.peft_type is None:
        return []
    return [other for other in TASKS.values() if other.peft_type == task.peft_type and other.name != task.name]


def names_classes(task: str) -> bool:
    """Whether the outputs of a task's head are classes, so that `label_names` can name them."""
    head = TASKS[task].head
    return head is not None and head.are_classes


def listed_tasks() -> str:
    """The names of all tasks for a sentence: `a, b or c`."""
    *others, last = TASKS
    return f"{', '.join(others)} or {last}" if others else last


def _check_name(name: str) -> str:
    if name not in TASKS:
        raise ValueError(f"the task has to be {listed_tasks()}")
    return name


def _name_schema() -> dict[str, Any]:
    return {"type": "string", "enum": list(TASKS)}


TaskName = Annotated[str, AfterValidator(_check_name), WithJsonSchema(_name_schema())]
