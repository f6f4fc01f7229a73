"""Peak memory of a process that streams gradients of so many rows, shard by shard; prints one JSON line.

    python -m benchmarks.gradient_memory --rows 10000
    python -m benchmarks.gradients.memory --rows 10000 --plain-heap    # with the C library's own settings

As in a worker, the rows are streamed on a thread of their own, in a process with a steady heap.
"""

import argparse
import json
import os
import random
import resource
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.gradients.workloads import classification_losses
from workers.batching.budget import TokenBudget
from workers.batching.collate import collate_rows
from workers.batching.stream import BatchOptions, stream_gradients
from workers.gradients.collector import GradientCollector
from workers.process.heap import steady_heap
from workers.rows import Batch, EncodedRow

SHARD_ROWS = 1000
#: Fixed: a budget that finds itself would make peaks depend on how busy the machine is.
_BATCH_TOKENS = 4096
_DEVICE = torch.device("cpu")
#: Small, so that 50,000 rows take seconds: memory per row is what is asked, not speed.
_SMALL = {
    "vocab_size": 4000,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
}


def main() -> None:
    """Stream and say how much memory it took at most, and how many seconds of the processor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--plain-heap", action="store_true")
    options = parser.parse_args()
    environment = steady_heap(os.environ)
    if not options.plain_heap and environment != dict(os.environ):
        # The heap's settings are read when a process begins.
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.gradients.memory", *sys.argv[1:]], environment)
    thread = threading.Thread(target=_measure, args=(options.rows, options.plain_heap))
    thread.start()
    thread.join()


def _measure(rows: int, plain_heap: bool) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = BertForSequenceClassification(BertConfig(**_SMALL))
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, target_modules=["query", "value"])).eval()
    collector, budget = GradientCollector(adapted, classification_losses), TokenBudget(_BATCH_TOKENS)
    total, started = 0.0, time.process_time()
    for start in range(0, rows, SHARD_ROWS):
        total += _stream(collector, budget, _make_shard(start, min(SHARD_ROWS, rows - start)))
    line = {
        "rows": rows,
        "heap": "plain" if plain_heap else "steady",
        "peak_bytes": read_peak_bytes(),
        "cpu_seconds": round(time.process_time() - started, 2),
        "mean_squared_norm": total / rows,
    }
    print(json.dumps(line))


def read_peak_bytes() -> int:
    """Most memory this process ever held. What getrusage says may be the parent's: a child inherits it on exec."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _stream(collector: GradientCollector, budget: TokenBudget, rows: list[EncodedRow]) -> float:
    total = 0.0
    for _, found in stream_gradients(collector, rows, _collate, BatchOptions(_DEVICE, budget)):
        total += sum(float(values.square().sum()) for values in found.blocks.values())
        del found  # as a shard does
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
