"""What a measurement was taken on, and how much work it was."""

import os
import platform
from collections.abc import Callable
from typing import Any

import peft
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What figures depend on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "load_before": round(os.getloadavg()[0], 2),
    }


def count_operations(run: Callable[[], object]) -> int:
    """Floating point operations of the matrix products and attention of one run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
