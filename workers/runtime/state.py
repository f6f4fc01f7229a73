"""What every piece of work in a worker process shares."""

import threading
from dataclasses import dataclass, field

import torch

from influence.store.data.files import Files
from influence.store.store import Store
from workers.batching.budget import TokenBudget
from workers.loading.options import LoadOptions
from workers.runtime.encoders import Encoders
from workers.runtime.fair_lock import FairLock
from workers.runtime.hot_indexes import HotIndexes
from workers.runtime.kept.gradient_cache import GradientCache
from workers.runtime.kept.test_points import KeptPoints
from workers.runtime.models import Models
from workers.runtime.sharing.aside import Aside
from workers.runtime.sharing.turns import Turns
from workers.settings import WorkerSettings


@dataclass(frozen=True)
class Runtime:
    """One worker process: its store, device, hot models and hot indexes.

    `device_lock` is taken for one micro-batch at a time, so that a query waits for at most one of a build's, and
    where a model is loaded in another type than float32. `attempts` are pieces of jobs that are being worked on;
    `aside` lets others be worked on beside one that takes long. `turns` bounds how much large work of the query queue
    is done at once.
    """

    name: str
    settings: WorkerSettings
    store: Store
    files: Files
    device: torch.device
    load_options: LoadOptions
    models: Models
    hot_indexes: HotIndexes
    token_budget: TokenBudget
    encoders: Encoders
    gradient_cache: GradientCache
    kept_points: KeptPoints
    device_lock: FairLock
    turns: Turns
    stopping: threading.Event = field(default_factory=threading.Event)
    attempts: list[tuple[str, int]] = field(default_factory=list)
    aside: Aside = field(default_factory=Aside)
