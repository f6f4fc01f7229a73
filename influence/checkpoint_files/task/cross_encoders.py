"""By which loss sentence-transformers trained a cross-encoder: a classifier's head by its architecture, whose loss is
often another than that of transformers."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from influence.contracts.tasks import MULTI_LABEL_CLASSIFICATION, TaskName

CROSS_ENCODERS = "sentence-transformers"
#: How heads of one output are trained by default.
_BINARY = "BinaryCrossEntropyLoss"
#: Losses that a task by the same name of its head has.
_OF_HEADS = ("crossentropyloss", "mseloss")


def of_task(task: TaskName) -> str:
    """How a loss that a task has is told among those that are not the usual ones of a head."""
    return f"that of task {task!r}"


def find_named_losses(tags: Collection[str]) -> Iterator[str]:
    """Losses that the card of a cross-encoder names and that are not the usual one of its head."""
    for tag in sorted(tags) if "cross-encoder" in tags else ():
        kind, _, name = tag.partition(":")
        if kind == "loss" and name not in _OF_HEADS:
            yield f"the loss {name[:60]}{_of_classes(name)}"


def find_unnamed_loss(fields: Mapping[str, Any]) -> Iterator[str]:
    """That a head of one output was trained by a loss which no file names, by what a model's configuration says."""
    said = fields.get("sentence_transformers")
    outputs = fields.get("num_labels", len(fields["id2label"]) if isinstance(fields.get("id2label"), dict) else None)
    is_its_own = isinstance(said, Mapping) and "activation_fn" in said
    if outputs == 1 and (is_its_own or "sbert_ce_default_activation_function" in fields):
        yield f"a loss of {CROSS_ENCODERS} that no file names, by default {_BINARY}{_of_classes(_BINARY)}"


def _of_classes(loss: str) -> str:
    """Which task has a loss, where one by another name has it."""
    return f" ({of_task(MULTI_LABEL_CLASSIFICATION.name)})" if loss.lower() == _BINARY.lower() else ""
