"""LLaMA-Factory encodes a conversation for training."""

import copy
import importlib.machinery
import os
import sys
import types
from pathlib import Path
from typing import Any

# It refuses to be imported beside other versions than its own, and imports what sounds alone need.
os.environ["DISABLE_VERSION_CHECK"] = "1"
sounds = sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
sounds.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)

from llamafactory.data.mm_plugin import get_mm_plugin  # noqa: E402
from llamafactory.data.processor.supervised import SupervisedDatasetProcessor  # noqa: E402
from llamafactory.data.template import TEMPLATES, get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import DataArguments  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402


def encode(folder: Path, settings: dict[str, Any], messages: list[dict[str, Any]]) -> list[list[int]]:
    """Ids and labels of a conversation by the settings that its file would have; -100 where no loss falls."""
    name = settings["template"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    arguments = DataArguments(cutoff_len=4096, **settings)
    kept = copy.deepcopy(TEMPLATES[name])
    template = get_template_and_fix_tokenizer(tokenizer, arguments)
    # Templates that also write images ask for the model's processor even where there are none.
    template.mm_plugin = get_mm_plugin("base")
    has_system = messages[0]["role"] == "system"
    turns = messages[1:] if has_system else messages
    processor = SupervisedDatasetProcessor(template=template, tokenizer=tokenizer, processor=None, data_args=arguments)
    ids, labels = processor._encode_data_example(
        prompt=turns[:-1],
        response=turns[-1:],
        system=messages[0]["content"] if has_system else None,
        tools=None,
        images=[],
        videos=[],
        audios=[],
    )
    TEMPLATES[name] = kept
    return [list(ids), list(labels)]
