"""LoRA layers as one step of the graph: where they apply, what they leave behind, and that they change nothing."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact
from support.gradients.tiny_models import Example, make_decoder, make_encoder
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workers.gradients.collector import GradientCollector
from workers.gradients.fused.calls import FusedLora, LoraCall, compute_fused, find_fused
from workers.gradients.fused.linear import FusedLinear
from workers.gradients.sites import group_by_module
from workers.gradients.trainable import find_trainable
from workers.rows import Batch


def adapt(example: Example, **settings: Any) -> Example:
    config = LoraConfig(**{"r": 2, "init_lora_weights": False, "target_modules": ["q_proj", "down_proj"], **settings})
    dtype = next(example.model.parameters()).dtype
    return Example(get_peft_model(example.model, config).to(dtype).eval(), example.rows, example.row_losses)


def fused_layers(model: nn.Module) -> list[FusedLora]:
    return find_fused(model, group_by_module(find_trainable(model, include_bias=True)))


def linear_layers(model: nn.Module) -> list[FusedLinear]:
    found = [lora for lora in fused_layers(model) if isinstance(lora, FusedLinear)]
    assert found
    return found


def test_plain_lora_on_linear_layers_is_fused() -> None:
    assert len(fused_layers(adapt(make_decoder("llama")).model)) == 4
    assert len(fused_layers(adapt(make_decoder("gpt2"), target_modules=["c_attn"], fan_in_fan_out=True).model)) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"lora_bias": True, "target_modules": ["query"]},
        {"bias": "lora_only", "target_modules": ["query"]},
    ],
)
def test_layers_with_more_than_two_factors_are_left_to_peft(settings: dict[str, Any]) -> None:
    example = make_encoder("bert")
    assert fused_layers(adapt(example, **{"target_modules": ["query"], **settings}).model) == []


def test_two_active_adapters_are_left_to_peft_and_exact() -> None:
    example = adapt(make_decoder("llama"))
    example.model.add_adapter("other", LoraConfig(r=3, target_modules=["q_proj"], init_lora_weights=False))  # type: ignore[operator]
    example.model.base_model.set_adapter(["default", "other"])  # type: ignore[operator, union-attr]
    example.model.double().eval()
    names = {lora.down.name.rsplit(".", 3)[1] for lora in fused_layers(example.model)}
    assert names == {"down_proj"}
    assert_exact(example)


def test_a_fused_layer_gives_what_peft_gives_to_the_last_bit() -> None:
    for lora in linear_layers(adapt(make_decoder("llama", dtype=torch.float32)).model):
        x = torch.randn(3, 40, lora.a.shape[1])
        assert torch.equal(lora.multiply(x), lora.layer(x))


@pytest.mark.parametrize("shape", [(3, 4), (3, 5, 4), (3, 2, 2, 4), (1, 2, 4), (2, 8, 4)])
def test_an_activation_may_change_what_a_fused_layer_puts_out_in_place(shape: tuple[int, ...]) -> None:
    """As that of Swin V2's positions does; of a layer with a bias the output was a view."""
    model = get_peft_model(
        nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 2)),
        LoraConfig(r=2, target_modules=["0"], init_lora_weights=False),
    ).double()
    model.eval()

    def losses(called: nn.Module, batch: Batch) -> Tensor:
        found: Tensor = called(batch.inputs["x"]).square().flatten(1).mean(dim=1)
        return found

    assert len(fused_layers(model)) == 1
    batch = Batch({"x": torch.randn(shape, dtype=torch.float64)}, torch.zeros(len(torch.zeros(shape))))
    collector = GradientCollector(model, losses)
    found = collector.collect(batch)
    assert {block.path for block in collector.blocks} == {"fast"}
    for row in range(shape[0]):
        loss = losses(model, batch.take_row(row))[0]
        wanted = torch.autograd.grad(loss, [one for one in model.parameters() if one.requires_grad])
        for values, truth in zip(found.blocks.values(), wanted, strict=True):
            torch.testing.assert_close(values[row], truth.flatten())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_fused_layer_gives_back_what_peft_gives_back(kind: str) -> None:
    named = {"target_modules": ["c_attn"], "fan_in_fan_out": True} if kind == "gpt2" else {}
    for lora in linear_layers(adapt(make_decoder(kind), **named).model):
        x = torch.randn(3, 40, lora.a.shape[1], dtype=torch.float64, requires_grad=True)
        plain = lora.layer(x)
        torch.testing.assert_close(lora.multiply(x.detach()), plain, rtol=1e-12, atol=1e-12)
        delta = torch.randn_like(plain)
        (below,) = torch.autograd.grad(plain, x, delta)
        found = lora.gradient_of_input(delta, lora.pull_back(delta), x.shape)
        torch.testing.assert_close(found, below, rtol=1e-12, atol=1e-12)


def test_collecting_leaves_layers_as_they_were() -> None:
    example = adapt(make_decoder("llama"))
    GradientCollector(example.model, example.row_losses).collect(example.collate(example.rows))
    assert not any("forward" in vars(module) or module._forward_hooks for module in example.model.modules())


def test_layers_are_left_as_they_were_when_the_model_fails() -> None:
    (lora, *_) = fused_layers(adapt(make_decoder("llama")).model)

    def ignore(_call: LoraCall, _output: Tensor, _begins: bool) -> None:
        pass

    with pytest.raises(RuntimeError), compute_fused(lora, ignore):
        lora.layer(torch.zeros(2, 3, dtype=torch.float64))
    assert "forward" not in vars(lora.layer)


class _Checkpointed(nn.Module):
    """Runs a layer again in the backward pass, even in evaluation mode."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return checkpoint(self.layer, *args, use_reentrant=False, **kwargs)


def test_layers_that_are_run_again_in_the_backward_pass_are_exact() -> None:
    example = adapt(make_encoder("bert"), target_modules=["query", "dense"])
    encoder = example.model.get_base_model().bert.encoder  # type: ignore[operator]
    encoder.layer = nn.ModuleList(_Checkpointed(layer) for layer in encoder.layer).eval()
    assert len(fused_layers(example.model)) == 9
    assert_exact(example)
