"""CPU threads of a worker: as many as it may use, no more."""

import os
import sys
import threading
from pathlib import Path

import torch

#: Of 20 steps down: a thread so many lower gets a quarter of a core that another wants. Ten steps would be a tenth: too
#: little beside programs that have nothing to do with queries, and a query waits for the micro-batch that it meets.
STEPS_DOWN = 5
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def set_cpu_threads(wanted: int) -> int:
    """Use `wanted` threads, or with 0 every core this process may run on; answers how many.

    More threads than cores make every product wait for the slowest: a container's share counts, not the machine.
    """
    count = wanted or count_usable_cpus()
    torch.set_num_threads(count)
    return count


def count_usable_cpus(quota_file: Path = _CGROUP_QUOTA) -> int:
    """Cores by affinity, or fewer where a container's quota allows fewer."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text().split()
        return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroups of version 2 here
        return count


def yield_to_others() -> None:
    """Let this thread, and those that it starts from now on, compute where others leave the processor to them.

    Linux alone has priorities of threads.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < STEPS_DOWN:
            os.setpriority(os.PRIO_PROCESS, thread, STEPS_DOWN)
