"""Times that can be compared: contenders take turns, ratios are taken within a round, medians over rounds."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

#: Rounds of matrix products that make a machine's peak, and the side of the matrices.
_PEAK_REPEATS, _PEAK_SIDE = 6, {"cpu": 1024, "cuda": 8192}


def time_in_turns(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round; who begins moves on by one a round. All have run once before."""
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(measure(contenders[name]))
    return seconds


def measure(run: Callable[[], object]) -> float:
    """Seconds of one run, the device's work included."""
    started = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak_bytes(run: Callable[[], object], device: torch.device) -> int | None:
    """Most bytes of a CUDA device's memory that a run holds at once, the model included; None on other devices."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    measure(run)
    return torch.cuda.max_memory_allocated(device)


def median_ratio(seconds: Mapping[str, list[float]], name: str, of: str) -> float:
    """Median over rounds of how many times as long `name` took as `of`."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[of], strict=True))


def multiplying(device: torch.device, dtype: torch.dtype) -> tuple[Callable[[], object], int]:
    """A run of plain matrix products, and its floating point operations: the machine's peak."""
    side = _PEAK_SIDE[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def run() -> None:
        for _ in range(_PEAK_REPEATS):
            left @ right

    return run, 2 * side**3 * _PEAK_REPEATS
