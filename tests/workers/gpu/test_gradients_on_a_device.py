"""The collector gives every row the gradient that it has alone, on a CUDA device as on the CPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact, gradients_one_by_one, relative_error
from support.gradients.tiny_models import Example, make_decoder, make_encoder

from influence.contracts.index import Precision
from workers.gradients.collector import GradientCollector
from workers.rows import Batch, EncodedRow

#: Of float32 arithmetic, of the tensor cores' shortened float32, and of bfloat16 under autocast.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}


@dataclass(frozen=True)
class OnDevice(Example):
    """An example whose batches lie where its model does."""

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return super().collate(rows).to(next(self.model.parameters()).device)


def move(example: Example, device: torch.device) -> OnDevice:
    """The same with LoRA on its attention, on the device."""
    names = [
        name.rpartition(".")[2] for name, part in example.model.named_modules() if isinstance(part, torch.nn.Linear)
    ]
    chosen = sorted({"query", "value", "q_proj", "v_proj", "down_proj"} & set(names))
    tuned = get_peft_model(example.model, LoraConfig(r=2, target_modules=chosen))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    return OnDevice(tuned.to(device).eval(), example.rows, example.row_losses)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_an_encoder_is_exact_in_float64(name: str, device: torch.device) -> None:
    torch.manual_seed(0)
    assert_exact(move(make_encoder(name), device), tolerance=1e-8)


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_a_decoder_is_exact_in_float64(name: str, device: torch.device) -> None:
    torch.manual_seed(0)
    example = make_decoder(name)
    example.model.to(device)
    assert_exact(OnDevice(example.model, example.rows, example.row_losses), tolerance=1e-8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_decoder_is_right_in_lower_precision(precision: Precision, device: torch.device) -> None:
    torch.manual_seed(0)
    example = move(make_decoder("llama", dtype=torch.float32), device)
    expected = gradients_one_by_one(example)
    found = GradientCollector(example.model, example.row_losses, precision=precision).collect(
        example.collate(example.rows)
    )
    for name, values in found.blocks.items():
        assert relative_error(values, expected[name], by_row=False) < TOLERANCE[precision], name


def test_the_device_agrees_with_the_cpu(device: torch.device) -> None:
    torch.manual_seed(0)
    example = move(make_encoder("bert", dtype=torch.float32), torch.device("cpu"))
    here = GradientCollector(example.model, example.row_losses).collect(example.collate(example.rows)).blocks
    example.model.to(device)
    there = GradientCollector(example.model, example.row_losses).collect(example.collate(example.rows)).blocks
    for name, values in here.items():
        assert relative_error(there[name].cpu(), values, by_row=False) < TOLERANCE["float32"], name
