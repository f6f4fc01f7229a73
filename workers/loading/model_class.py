"""Which class of transformers loads a base model for a task."""

from collections.abc import Collection
from typing import Any

import torch
import transformers

from influence.checkpoint_files.multimodal import is_multimodal
from influence.contracts.tasks import CAUSAL_LM, TASKS, TaskName


def find_class(task: TaskName, config: Any, modules: Collection[str] = ()) -> Any:
    """The task's own, or the multimodal one whose text path the task is scored on.

    Where transformers offers a model both whole and without its other senses, `modules`, the names that an adapter
    knows, say which of the two it was trained on.
    """
    usual = getattr(transformers, str(TASKS[task].auto_class))
    if TASKS[task].reads == "image" and type(config) in usual._model_mapping:
        # Of several the first has one head. Files of a base may name the one whose second head learnt from a teacher.
        found = usual._model_mapping[type(config)]
        return found[0] if isinstance(found, list | tuple) else found
    if task != CAUSAL_LM.name or not is_multimodal(config.to_dict()):
        return usual
    whole = transformers.AutoModelForImageTextToText
    offered = [auto for auto in (whole, usual) if type(config) in auto._model_mapping]
    fitting = [auto for auto in offered if len(offered) > 1 and _has(auto, config, modules)]
    return next(iter(fitting or offered), usual)


def _has(auto: Any, config: Any, modules: Collection[str]) -> bool:
    with torch.device("meta"):
        model = auto.from_config(config)
    return {name for name, _ in model.named_modules()}.issuperset(modules)
