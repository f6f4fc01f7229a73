"""Rows of images have the gradients that they have alone, for the architectures that people fine-tune."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact
from support.gradients.tiny_models import Example, classification_losses
from support.uploads.image_kinds import MORE_ARCHITECTURES
from support.uploads.image_models import ARCHITECTURES, SIDE, build_model
from torch import nn

from workers.rows import EncodedRow

ROWS = 5
#: Scores over HTTP are held against rows alone for all kinds; here it is every layer of the common ones.
KINDS = sorted(ARCHITECTURES.keys() - MORE_ARCHITECTURES.keys())
#: Every layer that can take factors, but the heads.
LAYERS = [
    *("q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"),
    *("pwconv1", "pwconv2", "reduction", "projection", "convolution"),
]


def make_rows() -> list[EncodedRow]:
    torch.manual_seed(1)
    return [
        EncodedRow(str(row), {"pixel_values": torch.randn(3, SIDE, SIDE, dtype=torch.float64)}, row % 3, 16)
        for row in range(ROWS)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_adapted_rows_have_the_gradients_they_have_alone(kind: str) -> None:
    config = LoraConfig(r=2, target_modules=LAYERS, modules_to_save=["classifier"], init_lora_weights=False)
    model = get_peft_model(build_model(kind), config).double().eval()
    assert_exact(Example(model, make_rows(), classification_losses))


class Windows(nn.Module):
    """Two windows a row, one row's windows side by side or those of one place."""

    def __init__(self, *, by_row: bool) -> None:
        super().__init__()
        self.inner, self.classifier = nn.Linear(4, 6), nn.Linear(6, 3)
        self._by_row = by_row

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        windows = pixel_values.flatten(1)[:, :48].reshape(-1, 2, 6, 4)
        cut = windows.flatten(0, 1) if self._by_row else windows.transpose(0, 1).flatten(0, 1)
        made = torch.tanh(self.inner(cut))
        parted = made.reshape(-1, 2, 6, 6) if self._by_row else made.reshape(2, -1, 6, 6).transpose(0, 1)
        return SimpleNamespace(logits=self.classifier(parted.mean(dim=(1, 2))))


@pytest.mark.parametrize("by_row", [True, False])
def test_windows_that_are_not_row_after_row_go_the_slow_way(by_row: bool) -> None:
    torch.manual_seed(2)
    model = Windows(by_row=by_row).double().eval()
    assert_exact(Example(model, make_rows(), classification_losses), slow=() if by_row else ("inner",))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_layers_have_the_gradients_they_have_alone(kind: str) -> None:
    model = build_model(kind).double()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".1." in name or "classifier" in name)
    assert_exact(
        Example(model, make_rows(), classification_losses),
        slow=("relative_position_bias_table", "beit.layers.1.lambda"),
    )
