"""CPU threads of a worker: as many as it may use, no more."""

import os

import torch


def set_cpu_threads(wanted: int) -> int:
    """Use `wanted` threads, or with 0 every core this process may run on; answers how many."""
    count = wanted or len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    return count
