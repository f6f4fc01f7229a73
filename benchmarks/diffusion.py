"""What gradients of images cost and whether they are right, on a pipeline of your own.

python -m benchmarks.diffusion --base PATH [--adapter FILE] [--rows 8] [--timesteps 10] [--device cuda]
python -m benchmarks.diffusion --base PATH --targets to_q to_k to_v to_out.0 conv1 conv2 --rounds 9

PATH is a folder of a Stable Diffusion pipeline. Without an adapter a fresh LoRA of rank 2 is made, on the attention as
in the paper or on the layers that --targets names. Prints, for rows of random pixels: seconds of collecting every row's
gradient against a plain training step over the same images and timesteps, in turns, and the operations of both; the
bytes of a row; and how far the gradients of the first and the last row lie from plain autograd on that row alone.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image

from app.intake.archives import DEFAULT_LIMITS
from app.intake.lora_files import accept_lora, unpack_lora
from benchmarks.gradients.conditions import count_operations
from influence.checkpoint_files.bases.pipelines import PipelineFiles
from influence.contracts.checkpoint import BaseModelRef
from influence.contracts.index import DiffusionSettings, GradientSettings
from influence.rows.images.content import inline_image
from workers.gradients.collector import GradientCollector
from workers.gradients.row_loop import row_gradients
from workers.gradients.trainable import find_trainable
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions
from workers.loading.pipeline import load_unet
from workers.rows import Batch

_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; answers the exit code."""
    options = read_options(arguments)
    files = PipelineFiles(options.base)
    print(f"{options.base}: {files.record.model_dump()}")
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(options, Path(folder))
        batch = make_batch(loaded, options, files.record.resolution)
        report(loaded, batch, options)
    return 0


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diffusion", description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of a pipeline")
    parser.add_argument("--adapter", type=Path, help="LoRA file; a fresh one when left out")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--timesteps", type=int, default=10)
    parser.add_argument("--targets", nargs="+", default=_ATTENTION, help="layers of a fresh LoRA (the attention)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


def load(options: argparse.Namespace, folder: Path) -> LoadedCheckpoint:
    """The pipeline with its LoRA, through intake and loading as the service does it."""
    upload = options.adapter or fresh_adapter(options.base, folder / "fresh", options.targets)
    unpack_lora(upload, folder, DEFAULT_LIMITS)
    base = BaseModelRef(name=str(options.base), kind="path", location=str(options.base.resolve()), digest="local")
    checkpoint = accept_lora(folder, base)
    for warning in checkpoint.warnings:
        print(f"Warning: {warning}")
    settings = GradientSettings(diffusion=DiffusionSettings(timesteps=options.timesteps))
    return load_checkpoint(
        checkpoint, folder, settings, LoadOptions(cache_dir=folder, device=torch.device(options.device))
    )


def fresh_adapter(base: Path, folder: Path, targets: Sequence[str]) -> Path:
    """A LoRA of rank 2 whose factors are all random, as a file."""
    torch.manual_seed(0)
    model: Any = get_peft_model(
        load_unet(base, torch.float32), LoraConfig(r=2, lora_alpha=2, target_modules=list(targets))
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.02)
    model.save_pretrained(folder)
    return folder / "adapter_model.safetensors"


def make_batch(loaded: LoadedCheckpoint, options: argparse.Namespace, side: int) -> Batch:
    """Rows of random pixels."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(options.rows)]
    rows = [
        {"id": f"r{place}", "text": f"picture number {place}", "image": inline_image(Image.fromarray(values))}
        for place, values in enumerate(pixels)
    ]
    started = time.perf_counter()
    batch = loaded.task.collate(loaded.task.tokenise(rows)).to(options.device)
    print(f"Latents and text states of {len(rows)} rows: {time.perf_counter() - started:.2f} s, once")
    return batch


def report(loaded: LoadedCheckpoint, batch: Batch, options: argparse.Namespace) -> None:
    """Print figures of one batch."""
    collector = GradientCollector(loaded.model, loaded.task.row_losses)
    found = collector.collect(batch)
    slow = [block.name for block in collector.blocks if block.path == "slow"]
    parameters = sum(block.parameters for block in collector.blocks)
    print(f"{len(collector.blocks)} tensors, {len(slow)} of them row by row; {parameters * 4:,} bytes per row")
    tensors = find_trainable(loaded.model, include_bias=False)
    for row in sorted({0, len(batch) - 1}):
        _, truth = row_gradients(tensors, lambda part: loaded.task.row_losses(loaded.model, part), batch, row)
        whole = torch.cat([truth[block.name] for block in collector.blocks])
        own = torch.cat([found.blocks[block.name][row] for block in collector.blocks])
        print(f"Row {row}: off by {float((own - whole).norm() / whole.norm()):.1e} of its length")
    weights = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]

    def train() -> None:
        torch.autograd.grad(loaded.task.row_losses(loaded.model, batch).mean(), weights)

    works = [train, lambda: collector.collect(batch)]
    seconds = time_in_turns(works, options.device, options.rounds)
    print(
        f"{len(batch)} rows x {options.timesteps} timesteps: a training step {seconds[0]:.2f} s, every row's gradient "
        f"{seconds[1]:.2f} s, {seconds[1] / seconds[0]:.2f} times that"
    )
    trained, collected = (count_operations(work) / 1e9 for work in works)
    print(f"Operations of products: {trained:.2f} GFLOP a training step, {collected:.2f} GFLOP every row's gradient")


def time_in_turns(works: Sequence[Callable[[], object]], device: str, rounds: int) -> list[float]:
    """Median seconds of each work: of the processor's time on a CPU, of the clock on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(taken, works, strict=True):
            started = clock()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            times.append(clock() - started)
    return [statistics.median(times) for times in taken]


if __name__ == "__main__":
    sys.exit(main())
