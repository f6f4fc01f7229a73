"""What every piece of work in a worker process shares."""

import threading
from dataclasses import dataclass, field

import torch

from influence.store.data.files import Files
from influence.store.store import Store
from workers.batching.budget import TokenBudget
from workers.runtime.encoders import Encoders
from workers.runtime.fair_lock import FairLock
from workers.runtime.gradient_cache import GradientCache
from workers.runtime.hot_indexes import HotIndexes
from workers.runtime.models import Models
from workers.settings import WorkerSettings


class ShutdownRequested(BaseException):
    """Raised between micro-batches when the process is asked to end; the message goes back to the queue."""


@dataclass(frozen=True)
class Runtime:
    """One worker process: its store, device, hot models and hot indexes.

    `device_lock` is taken for one micro-batch at a time, so that a query waits for at most one of a build's, and
    where a model is loaded in another type than float32.
    """

    name: str
    settings: WorkerSettings
    store: Store
    files: Files
    device: torch.device
    models: Models
    hot_indexes: HotIndexes
    token_budget: TokenBudget
    encoders: Encoders
    gradient_cache: GradientCache
    device_lock: FairLock
    stopping: threading.Event = field(default_factory=threading.Event)

    def check_stopping(self) -> None:
        """Raise ShutdownRequested when the process is asked to end."""
        if self.stopping.is_set():
            raise ShutdownRequested
