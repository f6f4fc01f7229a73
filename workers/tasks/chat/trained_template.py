"""The chat template that training wrote conversations by, where the trainer had one of its own."""

from typing import Any

from influence.checkpoint_files.adapters.notes.training_settings import TALKING
from influence.checkpoint_files.adapters.trainer_templates.jinja import with_joined_contents, with_system_prompt
from influence.checkpoint_files.adapters.trainer_templates.known import find_template
from influence.contracts.checkpoint import TrainingRecord

#: Names by which transformers chooses among several templates: for rows without tools, and for those with some.
_PLAIN, _WITH_TOOLS = "default", "tool_use"


def follow_training(tokenizer: Any, training: TrainingRecord | None) -> None:
    """Give a tokenizer the trainer's own template, as far as it is known, and the system prompt that training set.

    Conversations with tools keep the tokenizer's template, for of trainers' tools no more is known.
    """
    if training is None:
        return
    beside = tokenizer.chat_template
    templates: dict[str, str] = dict(beside) if isinstance(beside, dict) else {_PLAIN: beside} if beside else {}
    if training.trainer in TALKING:
        templates = {name: with_joined_contents(one) for name, one in templates.items()}
    if training.system is not None:
        templates = {name: with_system_prompt(one, training.system) for name, one in templates.items()}
    known = find_template(training)
    if known is not None:
        own = templates.get(_WITH_TOOLS, templates.get(_PLAIN))
        templates = {**templates, _PLAIN: known.as_jinja(), **({_WITH_TOOLS: own} if own else {})}
    if templates:
        tokenizer.chat_template = templates if len(templates) > 1 else next(iter(templates.values()))
