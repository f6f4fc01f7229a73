"""Biases that were trained under a head that was saved: computed as PEFT does, with the gradients of autograd."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from support.tiny import TinyCheckpoint, make_classifier
from support.uploads.adapters import IDS, accept, load_accepted
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from workers.gradients.collector import GradientCollector

HEADS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sequences": (AutoModelForSequenceClassification, {"task_type": "SEQ_CLS"}),
    "sequences without a type": (AutoModelForSequenceClassification, {"modules_to_save": ["classifier"]}),
    "tokens": (AutoModelForTokenClassification, {"task_type": "TOKEN_CLS"}),
}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


def train(made: TinyCheckpoint, folder: Path, kind: Any, **lora: Any) -> None:
    torch.manual_seed(5)
    adapted = get_peft_model(kind.from_pretrained(made.base), LoraConfig(r=2, target_modules=["query"], **lora))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    adapted.save_pretrained(folder)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_beside_a_saved_head_are_those_that_peft_loads(
    classifier: TinyCheckpoint, tmp_path: Path, head: str, bias: str
) -> None:
    kind, lora = HEADS[head]
    train(classifier, tmp_path, kind, bias=bias, **lora)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = (
            PeftModel.from_pretrained(kind.from_pretrained(classifier.base), tmp_path).eval()(input_ids=IDS).logits
        )
    loaded = load_accepted(accept(classifier.base, tmp_path), tmp_path, include_bias=True)
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=0, atol=0)


def test_gradients_of_biases_are_those_of_autograd(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    train(classifier, tmp_path, AutoModelForSequenceClassification, bias="all", task_type="SEQ_CLS")
    loaded = load_accepted(accept(classifier.base, tmp_path), tmp_path, include_bias=True)
    rows = [{"id": "0", "text": "refund my card", "label": 1}, {"id": "1", "text": "app slow again please", "label": 0}]
    batch = loaded.task.collate(loaded.task.tokenise(rows))
    found = GradientCollector(loaded.model, loaded.task.row_losses, include_bias=True).collect(batch)
    named = {name: one for name, one in loaded.model.named_parameters() if one.requires_grad}
    assert any(name.endswith("LayerNorm.bias") for name in named)
    assert not any("original_module" in name for name in named)
    for place in range(len(rows)):
        gradients = torch.autograd.grad(loaded.task.row_losses(loaded.model, batch)[place], [*named.values()])
        for (block, values), gradient in zip(found.blocks.items(), gradients, strict=True):
            torch.testing.assert_close(values[place], gradient.flatten(), rtol=1e-4, atol=1e-6, msg=block)
