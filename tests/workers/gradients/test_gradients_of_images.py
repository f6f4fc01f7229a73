"""Rows of images have the gradients that they have alone, for the architectures that people fine-tune."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact
from support.gradients.tiny_models import Example, classification_losses
from support.uploads.image_models import ARCHITECTURES, SIDE, build_model

from workers.rows import EncodedRow

ROWS = 5
#: Every layer that can take factors, but the heads.
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2", "pwconv1", "pwconv2", "reduction", "projection"]


def make_rows() -> list[EncodedRow]:
    torch.manual_seed(1)
    return [
        EncodedRow(str(row), {"pixel_values": torch.randn(3, SIDE, SIDE, dtype=torch.float64)}, row % 3, 16)
        for row in range(ROWS)
    ]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_adapted_rows_have_the_gradients_they_have_alone(kind: str) -> None:
    config = LoraConfig(r=2, target_modules=LAYERS, modules_to_save=["classifier"], init_lora_weights=False)
    model = get_peft_model(build_model(kind), config).double().eval()
    # Swin cuts an image into windows, which its attention takes for rows.
    slow = ("layers.0.blocks.0.attention",) if kind == "swin" else ()
    assert_exact(Example(model, make_rows(), classification_losses), slow=slow)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_whole_layers_have_the_gradients_they_have_alone(kind: str) -> None:
    model = build_model(kind).double()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".1." in name or "classifier" in name)
    assert_exact(
        Example(model, make_rows(), classification_losses),
        slow=("relative_position_bias_table", "beit.layers.1.lambda"),
    )
