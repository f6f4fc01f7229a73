"""LoRA of convolutions as one step of the graph: exact for every kernel, and left to PEFT where it would not be."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact
from support.gradients.tiny_models import Example, classification_losses
from torch import Tensor, nn

from workers.gradients.fused.calls import find_fused
from workers.gradients.fused.convolution import FusedConvolution
from workers.gradients.sites import group_by_module
from workers.gradients.trainable import find_trainable
from workers.rows import EncodedRow

CHANNELS, SIDE, ROWS = 6, 9, 4


class Convolved(nn.Module):
    """A convolution that begins the graph and one of the kind in question, called twice over."""

    def __init__(self, *, channels: int = CHANNELS, **settings: Any) -> None:
        super().__init__()
        self.begin = nn.Conv2d(3, channels, 3, padding=1)
        self.convolution = nn.Conv2d(channels, 8, **settings)
        self.classifier = nn.Linear(8, 3)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        begun = torch.tanh(self.begin(pixel_values))
        found = torch.tanh(self.convolution(begun)).mean(dim=(2, 3)) + self.convolution(-begun).amax(dim=(2, 3))
        return SimpleNamespace(logits=self.classifier(found))


def adapt(settings: dict[str, Any], *, channels: int = CHANNELS, rank: int = 2, **more: Any) -> Example:
    torch.manual_seed(0)
    config = LoraConfig(r=rank, lora_alpha=3, target_modules=["begin", "convolution"], init_lora_weights=False, **more)
    model = get_peft_model(Convolved(channels=channels, **settings), config).double().eval()
    rows = [
        EncodedRow(str(row), {"pixel_values": torch.randn(3, SIDE, SIDE, dtype=torch.float64)}, row % 3, 1)
        for row in range(ROWS)
    ]
    return Example(model, rows, classification_losses)


def fused_names(example: Example) -> set[str]:
    sites = group_by_module(find_trainable(example.model, include_bias=True))
    return {
        lora.down.name.split(".lora_A")[0].rpartition(".")[2]
        for lora in find_fused(example.model, sites)
        if isinstance(lora, FusedConvolution)
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "bias": False},
        {"kernel_size": 1},
        {"kernel_size": 1, "padding": 1},
        {"kernel_size": 3, "padding": 3},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (1, 3), "padding": (0, 1)},
        {"kernel_size": (4, 2), "padding": (2, 0)},
        {"kernel_size": 2, "stride": (1, 2)},
        {"kernel_size": SIDE},
    ],
    ids=str,
)
@pytest.mark.parametrize(("channels", "rank"), [(20, 2), (CHANNELS, 2), (2, 4)])
def test_rows_of_fused_convolutions_have_the_gradients_they_have_alone(
    settings: dict[str, Any], channels: int, rank: int
) -> None:
    example = adapt(settings, channels=channels, rank=rank)
    assert fused_names(example) == {"begin", "convolution"}
    assert_exact(example)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"kernel_size": 3, "padding": "same"}, {}),
        ({"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, {}),
        ({"kernel_size": 3, "padding": 1, "groups": 2}, {}),
        ({"kernel_size": 3, "padding": 1}, {"use_dora": True}),
        ({"kernel_size": 3, "padding": 1}, {"lora_bias": True}),
    ],
    ids=str,
)
def test_convolutions_that_one_weight_does_not_stand_for_are_left_to_peft_and_exact(
    settings: dict[str, Any], more: dict[str, Any]
) -> None:
    example = adapt(settings, **more)
    assert "convolution" not in fused_names(example)
    assert_exact(example)


def test_a_fused_convolution_gives_what_peft_gives() -> None:
    example = adapt({"kernel_size": 3, "stride": 2, "padding": 1})
    sites = group_by_module(find_trainable(example.model, include_bias=True))
    fused = [lora for lora in find_fused(example.model, sites) if isinstance(lora, FusedConvolution)]
    assert len(fused) == 2
    for lora in fused:
        x = torch.randn(3, lora.a.shape[1], SIDE, SIDE - 2, dtype=torch.float64)
        torch.testing.assert_close(lora.multiply(x), lora.layer(x), rtol=1e-12, atol=1e-12)
