"""Peak memory of a process that streams gradients of so many rows, shard by shard; prints one JSON line.

python -m benchmarks.gradient_memory --rows 10000
"""

import argparse
import json
import random
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.gradient_workloads import classification_losses
from workers.batching.budget import TokenBudget
from workers.batching.collate import collate_rows
from workers.batching.stream import stream_gradients
from workers.gradients.collector import GradientCollector
from workers.rows import Batch, EncodedRow

SHARD_ROWS = 1000
_DEVICE = torch.device("cpu")
#: Small, so that 50,000 rows take seconds: memory per row is what is asked, not speed.
_SMALL = {
    "vocab_size": 4000, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256,
}  # fmt: skip


def main() -> None:
    """Stream and say how much memory it took at most."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, required=True)
    rows = parser.parse_args().rows
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = BertForSequenceClassification(BertConfig(**_SMALL))
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, target_modules=["query", "value"])).eval()
    collector, budget = GradientCollector(adapted, classification_losses), TokenBudget.for_device(_DEVICE)
    total = 0.0
    for start in range(0, rows, SHARD_ROWS):
        total += _stream(collector, budget, _make_shard(start, min(SHARD_ROWS, rows - start)))
    print(json.dumps({"rows": rows, "peak_bytes": read_peak_bytes(), "mean_squared_norm": total / rows}))


def read_peak_bytes() -> int:
    """Most memory this process ever held. What getrusage says may be the parent's: a child inherits it on exec."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _stream(collector: GradientCollector, budget: TokenBudget, rows: list[EncodedRow]) -> float:
    total = 0.0
    for _, found in stream_gradients(collector, rows, _collate, device=_DEVICE, budget=budget):
        total += sum(float(values.square().sum()) for values in found.blocks.values())
    return total


def _collate(rows: Sequence[EncodedRow]) -> Batch:
    return collate_rows(rows, pad_token_id=0)


def _make_shard(start: int, count: int) -> list[EncodedRow]:
    choose = random.Random(start)
    shard = []
    for position in range(start, start + count):
        length = min(2 + int(choose.expovariate(1 / 12)), 64)
        inputs = {"input_ids": [choose.randrange(5, 4000) for _ in range(length)], "attention_mask": [1] * length}
        shard.append(EncodedRow(str(position), inputs, position % 2, length))
    return shard


if __name__ == "__main__":
    main()
