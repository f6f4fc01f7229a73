"""How near the gradients of each precision come to those in float64, on the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.gradients.workloads import VOCABULARY, causal_losses
from influence.contracts.index import Precision
from workers.batching.collate import collate_rows
from workers.gradients.collector import GradientCollector
from workers.rows import IGNORED, Batch, EncodedRow

#: Name of a precision to what the collector is told and whether float32 products may round to TensorFloat-32.
PRECISIONS: dict[str, tuple[Precision, bool]] = {
    "float32": ("float32", False),
    "tf32": ("float32", True),
    "bfloat16": ("bfloat16", False),
}
_LENGTHS = (128, 96, 64, 128, 80, 112, 48, 128)


def measure_fidelity(device: torch.device) -> list[dict[str, Any]]:
    """Per precision: relative error of the gradients and Spearman's rank correlation of their products.

    A random Llama of 256 numbers a position and four layers, LoRA on every linear layer, eight rows.
    """
    model = _make_model().to(device).eval()
    batch = _make_batch().to(device)
    truth = _gradients(model.double(), batch, "float32")
    model.float()
    lines = []
    for name, (precision, tf32) in PRECISIONS.items():
        with _tf32(tf32):
            found = _gradients(model, batch, precision)
        error = float((found - truth).norm() / truth.norm())
        lines.append({"precision": name, "relative_error": error, "rank_correlation": _rank_agreement(found, truth)})
    return lines


def _gradients(model: Any, batch: Batch, precision: Precision) -> Tensor:
    """(rows, parameters) float64 on the CPU."""
    collector = GradientCollector(model, causal_losses, precision=precision)
    blocks = collector.collect(batch).blocks
    return torch.cat([blocks[name].double().cpu() for name in sorted(blocks)], dim=1)


def _rank_agreement(found: Tensor, truth: Tensor) -> float:
    products = [torch.tril(g @ g.t(), -1)[_below_diagonal(len(g))] for g in (found, truth)]
    ranks = torch.stack([values.argsort().argsort().double() for values in products])
    return float(torch.corrcoef(ranks)[0, 1])


def _below_diagonal(rows: int) -> Tensor:
    return torch.ones(rows, rows, dtype=torch.bool).tril(-1)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _make_model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
    )
    model = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=8, target_modules="all-linear"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # a fresh adapter's zeros would make half of the gradients zero
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def _make_batch() -> Batch:
    rows = []
    for position, length in enumerate(_LENGTHS):
        ids = torch.randint(3, VOCABULARY, (length,)).tolist()
        labels = [IGNORED] * (length // 2) + ids[length // 2 :]
        rows.append(EncodedRow(str(position), {"input_ids": ids, "attention_mask": [1] * length}, labels, length))
    return collate_rows(rows, pad_token_id=0)
