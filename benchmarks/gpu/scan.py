"""The pass over all codes where they lie in the device's memory, against a pass that only reads the same bytes."""

import statistics
from typing import Any

import torch
from torch import Tensor

from benchmarks.gradients.timing import measure, time_in_turns

#: One int8 number a byte, and a float32 scale: 154 bytes per row.
WIDTH, ROW_BYTES = 150, 154
_ROUNDS = 15
#: Rows a kernel takes at a time, so that its 32-bit offsets hold.
_PIECE_ROWS = 1 << 23


def score_rows(values: Tensor, scales: Tensor, vector: Tensor) -> Tensor:
    """Scores (rows,) float32 of int8 codes (rows, WIDTH) for an int8 query vector (WIDTH,); sums are exact."""
    return (values.to(torch.int32) * vector.to(torch.int32)).sum(1, dtype=torch.int32).float() * scales


def read_bytes(values: Tensor, scales: Tensor) -> Tensor:
    """What reading alone costs: one sum of everything, as whole words."""
    return values.view(torch.int16).flatten().sum(dtype=torch.int64) + scales.sum()


def measure_scan(device: torch.device, rows: int) -> dict[str, Any]:
    """Median milliseconds of a pass over so many rows, of the bare read, and their ratio; scores are checked."""
    generator = torch.Generator(device).manual_seed(0)
    values = torch.empty(rows, WIDTH, dtype=torch.int8, device=device)
    values.random_(-127, 128, generator=generator)
    scales = torch.rand(rows, generator=generator, device=device)
    vector = torch.randint(-127, 128, (WIDTH,), dtype=torch.int8, device=device, generator=generator)
    compiled, reading = torch.compile(score_rows, dynamic=False), torch.compile(read_bytes, dynamic=False)
    pieces = [slice(start, min(start + _PIECE_ROWS, rows)) for start in range(0, rows, _PIECE_ROWS)]
    scores = torch.empty(rows, device=device)

    def scan() -> None:
        for piece in pieces:
            scores[piece] = compiled(values[piece], scales[piece], vector)

    def read() -> None:
        for piece in pieces:
            reading(values[piece], scales[piece])

    contenders = {"scan": scan, "read": read}
    for run in contenders.values():
        measure(run)
    _check(scores, values, scales, vector)
    seconds = time_in_turns(contenders, rounds=_ROUNDS)
    milliseconds = {name: statistics.median(taken) * 1e3 for name, taken in seconds.items()}
    return {
        "rows": rows,
        "bytes": rows * ROW_BYTES,
        "scan_ms": milliseconds["scan"],
        "read_ms": milliseconds["read"],
        "ratio": statistics.median(a / b for a, b in zip(seconds["scan"], seconds["read"], strict=True)),
        "gigabytes_per_second": rows * ROW_BYTES / milliseconds["scan"] / 1e6,
    }


def _check(scores: Tensor, values: Tensor, scales: Tensor, vector: Tensor) -> None:
    """A thousand rows against float64. Raises RuntimeError."""
    chosen = torch.linspace(0, len(values) - 1, 1000, device=values.device).long()
    expected = (values[chosen].double() @ vector.double()) * scales[chosen].double()
    if not torch.allclose(scores[chosen].double(), expected, rtol=1e-6, atol=1e-3):
        raise RuntimeError("the compiled pass gives wrong scores on this device")
