"""ms-swift encodes a conversation for training."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from swift.template.register import TEMPLATE_MAPPING, get_template
from transformers import AutoTokenizer

_TAKEN = ("loss_scale", "enable_thinking", "preserve_thinking", "add_non_thinking_prefix")


def encode(tokenizer: Path, settings: dict[str, Any], messages: list[dict[str, Any]]) -> list[list[int]]:
    """Ids and labels of a conversation by the settings that its file would have; -100 where no loss falls."""
    name = settings["template"]
    processor = AutoTokenizer.from_pretrained(tokenizer)
    processor.model_info = SimpleNamespace(max_model_len=4096, config=None, task_type="causal_lm")
    processor.model_meta = SimpleNamespace(is_multimodal=False, template=name, candidate_templates=[name])
    # A template keeps ids of the tokenizer that it was used with first.
    kept, TEMPLATE_MAPPING[name] = TEMPLATE_MAPPING[name], copy.deepcopy(TEMPLATE_MAPPING[name])
    given = {field: settings[field] for field in _TAKEN if field in settings}
    template = get_template(processor, settings.get("system"), template_type=name, **given)
    template.set_mode("train")
    encoded = template.encode({"messages": messages})
    TEMPLATE_MAPPING[name] = kept
    labels, weights = encoded["labels"], encoded.get("loss_scale")
    if weights is not None:
        labels = [label if weight > 0 else -100 for label, weight in zip(labels, weights, strict=True)]
    return [list(encoded["input_ids"]), list(labels)]
