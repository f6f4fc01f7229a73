"""A model whose layers are spread by accelerate has the gradients of the model in one piece."""

import copy
from dataclasses import replace

import pytest
import torch
from accelerate import dispatch_model
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact, gradients_one_by_one
from support.gradients.tiny_models import Example, make_decoder, make_encoder
from support.trials.float64 import Float64Throughout

from workers.gradients.collector import GradientCollector


def spread(example: Example) -> Example:
    """The same model with accelerate's hooks on every module, as on two devices; here both are the CPU."""
    model = copy.deepcopy(example.model)
    places = {name: "cpu" for name, module in model.named_modules() if name and not any(module.children())}
    dispatched = dispatch_model(model, device_map=places, main_device="cpu", force_hooks=True)
    assert sum("forward" in vars(module) for module in dispatched.modules()) > len(places) / 2
    return replace(example, model=dispatched)


def with_lora(example: Example, **options: object) -> Example:
    torch.manual_seed(3)
    adapted = get_peft_model(example.model, LoraConfig(r=2, **options))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return replace(example, model=adapted.eval())


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_language_models(name: str) -> None:
    whole = make_decoder(name)
    compare(whole, spread(whole), task_type="CAUSAL_LM")


def test_classifiers_with_a_saved_head() -> None:
    whole = make_encoder("bert")
    compare(whole, spread(whole), task_type="SEQ_CLS", modules_to_save=["classifier"])


def compare(whole: Example, parts: Example, **options: object) -> None:
    whole, parts = with_lora(whole, **options), with_lora(parts, **options)
    expected = gradients_one_by_one(whole)
    with Float64Throughout():
        collector = GradientCollector(parts.model, parts.row_losses)
        found = collector.collect(parts.collate(parts.rows)).blocks
    assert {block.path for block in collector.blocks} == {"fast"}
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-10, atol=1e-12)
    assert_exact(parts, include_bias=False)
