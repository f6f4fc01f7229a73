"""The parts of the page, each in a process of its own: one that runs out of memory or time leaves the others alone."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_SHOWN_CHARACTERS = 300

Figures = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """What is run, within how many seconds, and how its figures are read from its folder and its output."""

    title: str
    arguments: Sequence[str]
    seconds: float
    read: Callable[[Path, str], Figures]


def run_part(part: Part) -> dict[str, Any]:
    """`{title, seconds, figures}`, or `failed` with the reason instead of figures."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *(argument.format(folder=folder) for argument in part.arguments)]
        try:
            done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=part.seconds, check=False)
            outcome = _outcome(part, Path(folder), done)
        except subprocess.TimeoutExpired:
            outcome = {"failed": f"not done after {part.seconds:.0f} s"}
    return {"title": part.title, "seconds": time.monotonic() - started, **outcome}


def _outcome(part: Part, folder: Path, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["it said nothing"]
        return {"failed": f"status {done.returncode}: {said[0][:_SHOWN_CHARACTERS]}"}
    return {"figures": part.read(folder, done.stdout)}


def make_parts(device: str, *, small: bool) -> dict[str, Part]:
    """All parts for a device; `small` is a rehearsal that a CPU finishes in minutes and whose figures say little."""
    patience = 5 if small else 1
    return {
        "tests": Part(
            "The tests that need a device",
            ["-m", "pytest", "-q", "-m", "cuda", "-p", "no:randomly", "-p", "no:cacheprovider", "tests/workers/gpu"],
            180 * patience,
            _read_summary,
        ),
        "fidelity": Part(
            "Precisions against float64",
            ["-m", "benchmarks.gpu", "--device", device, "--only-figures", "fidelity"],
            60 * patience,
            _read_lines,
        ),
        "speed": Part(
            "Gradients of a language model of a billion parameters, LoRA r = 16 on every linear layer, 512 tokens",
            _speed(device, small, "llama-32k" if small else "llama-1b", "bfloat16", rows=8 if small else 48),
            150 * patience,
            _read_speed,
        ),
        "encoder": Part(
            "Gradients of MiniLM's shape, 128 tokens",
            _speed(device, small, "minilm-128", "float32", rows=8 if small else 1024),
            60 * patience,
            _read_speed,
        ),
        "scan": Part(
            "One pass over int8 codes in the device's memory, 154 bytes per row",
            ["-m", "benchmarks.gpu", "--device", device, *(["--small"] if small else []), "--only-figures", "scan"],
            80 * patience,
            _read_lines,
        ),
    }


def _speed(device: str, small: bool, workload: str, precision: str, *, rows: int) -> list[str]:
    return [
        *("-m", "benchmarks.gradients", "--device", device, "--workloads", workload, "--precision", precision),
        *("--rows", str(rows), "--batch-rows", str(min(rows, 16)), "--threads", "1", "--no-memory"),
        *("--rounds", "1" if small else "5", "--out", "{folder}/gradients"),
    ]


def _read_summary(_folder: Path, output: str) -> Figures:
    return [{"pytest": output.strip().splitlines()[-1].strip("= ")}]


def _read_lines(_folder: Path, output: str) -> Figures:
    found: Figures = json.loads(output.splitlines()[-1])
    return found


def _read_speed(folder: Path, _output: str) -> Figures:
    return [
        {
            "workload": line["workload"],
            "precision": line["precision"],
            "rows/s": line["rows_per_second"],
            "tokens/s": line["tokens_per_second"],
            "share of peak": line["share_of_peak"],
            "ours / training step": line["training_step_ratio"],
            **{f"{other} / ours": line["times_as_long"].get(other) for other in ("row loop", "vmap(grad)")},
            "peak GiB": None if line["peak_bytes"] is None else line["peak_bytes"] / 2**30,
        }
        for line in json.loads((folder / "gradients.json").read_text("utf-8"))["speed"]
    ]
