"""One worker process: one device, two queues, its model and indexes hot."""

import argparse
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import dramatiq
import structlog
import torch
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

from influence.contracts.work import QueueName
from influence.errors import DatainfError
from influence.process.logs import configure_logs
from influence.process.memory import resident_bytes
from influence.process.tracing import configure_traces
from influence.store import keys
from influence.store.connections import StoreError, connect
from influence.store.data.files import open_files
from influence.store.ending.copies import forget_removed
from influence.store.ending.orphans import remove_orphans
from influence.store.ending.sweeping import remove_ended
from influence.store.passes import PARTS_VERSION
from influence.store.queue import make_broker
from influence.store.store import Store
from influence.store.workers import own_broker
from workers.batching.budget import TokenBudget
from workers.building.attempts import take_back_attempts
from workers.evaluating.base import EvaluationKind
from workers.evaluating.registry import KINDS
from workers.loading.options import LoadOptions
from workers.process.actors import make_steps, register_actors, register_parts
from workers.process.held import GiveBack, HeldMessages, InHand
from workers.process.pace import Pace
from workers.process.reaper import resubmit_lost_work
from workers.process.threads import set_cpu_threads
from workers.process.webhooks.telling import tell_webhooks
from workers.runtime.deletions import follow_deletions, forget_deleted
from workers.runtime.encoders import Encoders
from workers.runtime.fair_lock import FairLock
from workers.runtime.hot_indexes import HotIndexes
from workers.runtime.kept.gradient_cache import GradientCache
from workers.runtime.kept.test_points import KeptPoints
from workers.runtime.models import Models
from workers.runtime.sharing.aside import MOST_THREADS, End
from workers.runtime.sharing.turns import Turns
from workers.runtime.state import Runtime
from workers.settings import WorkerSettings

log = structlog.get_logger()

ANNOUNCE_SECONDS = 5.0
REAP_SECONDS = 20.0
#: One is read or scanned by all cores while another is on its way.
_PARTS_AT_ONCE = 2
#: A piece of work beside another's may take as long as it needs; the process's own end interrupts both.
_ASIDE_STOP_MS = 24 * 3600 * 1000


def make_runtime(settings: WorkerSettings, name: str, device: torch.device) -> Runtime:
    """Connect and prepare; nothing is loaded yet."""
    files = open_files(settings)
    store = Store(connect(settings.redis_url, settings.cache_url), files)
    device_lock = FairLock()
    options = LoadOptions(
        cache_dir=files.hub,
        device=device,
        offline=settings.hub_offline,
        load_in_bits=settings.load_in_bits,
        device_map=settings.device_map,
        images=files.images,
    )
    models = Models(files.adapter, options, capacity=settings.hot_models, device_lock=device_lock)
    budget = TokenBudget(settings.token_budget) if settings.token_budget else TokenBudget.for_device(device)
    return Runtime(
        name=name,
        settings=settings,
        store=store,
        files=files,
        device=device,
        load_options=options,
        models=models,
        token_budget=budget,
        hot_indexes=HotIndexes(settings.memory_budget_bytes),
        encoders=Encoders(device),
        gradient_cache=GradientCache(settings.gradient_cache_bytes),
        kept_points=KeptPoints(settings.test_gradient_bytes),
        device_lock=device_lock,
        turns=Turns(settings.query_threads),
    )


class NoTracebacks(dramatiq.Middleware):
    """Keeps tracebacks, which `Retries` adds, out of messages: one may quote a row. The log has them."""

    def before_enqueue(self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None) -> None:
        message.options.pop("traceback", None)


@dataclass(frozen=True)
class Taking:
    """A queue's messages taken: by whom, what they hold, and what of it is worked on."""

    worker: dramatiq.Worker
    held: HeldMessages
    in_hand: InHand


class WorkerProcess:
    """Consumes both queues until asked to stop.

    The process's name is its lease's name: one that starts again under the name of a dead one takes its messages
    over at once, another's are taken over when its heartbeat has been silent for long enough.
    """

    def __init__(
        self, runtime: Runtime, *, kinds: Mapping[str, EvaluationKind] = KINDS, pace: Pace | None = None
    ) -> None:
        self.runtime = runtime
        self._steps = make_steps(kinds)
        self._pace = pace or Pace()
        query_threads = max(runtime.settings.query_threads, runtime.settings.query_batch)
        self._taking = [
            self._take("build", "build", threads=1, poll_ms=self._pace.build_poll_ms),
            self._take("query", "query", threads=query_threads, poll_ms=self._pace.query_poll_ms),
            self._take_own(),
        ]
        self._asides = [f"aside-{number}" for number in range(MOST_THREADS)]
        for name in self._asides:
            runtime.store.queue.reclaim(self._broker_id(name))
        runtime.aside.offer(self._begin_aside)
        self._see_to(self._arrive)
        self._see_to(self._announce)  # before it works: who asks next finds it

    def _begin_aside(self) -> End | None:
        """Take messages of builds on one more thread; what is given back ends that, and waits for what is in hand.
        None where no name is free for it."""
        try:
            name = self._asides.pop()
        except IndexError:
            return None
        try:
            taking = self._take("build", name, threads=1, poll_ms=self._pace.build_poll_ms)
        except StoreError:
            self._asides.append(name)
            raise
        self._taking.append(taking)
        self._start(taking.worker)

        def end() -> None:
            taking.worker.stop(timeout=_ASIDE_STOP_MS)
            self._taking.remove(taking)
            self._asides.append(name)

        return end

    def _broker_id(self, name: str) -> str:
        return f"{self.runtime.name}:{name}"

    def _take(self, queue: QueueName, name: str, *, threads: int, poll_ms: int) -> Taking:
        def register(broker: RedisBroker) -> None:
            register_actors(self.runtime, broker, queue, self._steps)

        return self._take_from(queue, self._broker_id(name), register, threads=threads, poll_ms=poll_ms)

    def _take_own(self) -> Taking:
        """The queue of this worker alone: parts of indexes that it keeps hot."""
        name = self.runtime.name
        register = partial(register_parts, self.runtime, at_once=_PARTS_AT_ONCE)
        return self._take_from(
            keys.own_queue(name),
            own_broker(name),
            register,
            threads=_PARTS_AT_ONCE,
            poll_ms=self._pace.query_poll_ms,
            is_woken=True,
        )

    def _take_from(
        self,
        queue: str,
        broker_id: str,
        register: Callable[[RedisBroker], None],
        *,
        threads: int,
        poll_ms: int,
        is_woken: bool = False,
    ) -> Taking:
        in_hand = InHand()
        middleware = [GiveBack(), CurrentMessage(), NoTracebacks(), in_hand]
        broker = make_broker(
            self.runtime.store.connections.state,
            queues=(queue,),
            middleware=middleware,
            delayed_poll_ms=self._pace.delayed_poll_ms,
            is_woken=is_woken,
        )
        broker.broker_id = broker_id
        self.runtime.store.queue.reclaim(broker.broker_id, (queue,))
        held = HeldMessages(self.runtime.store.queue, broker.broker_id, queue, in_hand)
        register(broker)
        worker = dramatiq.Worker(broker, worker_timeout=poll_ms, worker_threads=threads)
        worker.queue_prefetch = threads
        return Taking(worker, held, in_hand)

    def _start(self, worker: dramatiq.Worker) -> None:
        """Start a worker whose threads wait for messages without looking as often as its consumer looks at the queue:
        many idle threads would take turns at the interpreter all the time."""
        worker.start()
        for thread in worker.workers:
            thread.timeout = self._pace.idle_seconds

    def run(self) -> None:
        """Work until the runtime's `stopping` is set, then give back what is not finished."""
        taking = list(self._taking)  # what begins beside a step ends with it
        for one in taking:
            self._start(one.worker)
        helpers = [
            threading.Thread(target=self._housekeep, daemon=True, name="housekeeping"),
            threading.Thread(
                target=follow_deletions, args=(self.runtime, self._pace.hear_seconds), daemon=True, name="deletions"
            ),
            threading.Thread(
                target=tell_webhooks, args=(self.runtime, self._pace.tell_seconds), daemon=True, name="webhooks"
            ),
        ]
        for helper in helpers:
            helper.start()
        log.info("worker ready", name=self.runtime.name, device=str(self.runtime.device))
        self.runtime.stopping.wait()
        take_back_attempts(self.runtime)  # first: whoever started this process may lose patience with it
        for one in taking:
            one.worker.stop(timeout=self._pace.stop_ms)
        for helper in helpers:
            helper.join(self._pace.help_seconds)
        self.runtime.store.workers.withdraw(self.runtime.name)

    def _housekeep(self) -> None:
        """Announce this worker and look after messages and memory, as long as the process lives."""
        store, elapsed = self.runtime.store, REAP_SECONDS
        while not self.runtime.stopping.is_set():
            self._see_to(self._announce)
            for one in list(self._taking):
                self._see_to(one.held.put_back_stranded)
            if elapsed >= REAP_SECONDS:
                self._see_to(lambda: resubmit_lost_work(store))
                self._see_to(lambda: remove_ended(store))
                self._see_to(lambda: remove_orphans(store))
                self._see_to(lambda: forget_deleted(self.runtime))
                self._see_to(lambda: forget_removed(store, self.runtime.files))
                elapsed = 0.0
            self.runtime.stopping.wait(ANNOUNCE_SECONDS)
            elapsed += ANNOUNCE_SECONDS

    def _arrive(self) -> None:
        store = self.runtime.store
        if not store.workers.alive():
            store.jobs.leave_out_absence()

    def _announce(self) -> None:
        self.runtime.store.workers.announce(self.runtime.name, self._description())

    def _see_to(self, duty: Callable[[], object]) -> None:
        """A duty that fails leaves the others, and its own next turn, alone."""
        try:
            duty()
        except (StoreError, DatainfError) as error:
            log.warning("housekeeping is held up", error=str(error))

    def _description(self) -> dict[str, object]:
        return {
            "name": self.runtime.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "device": str(self.runtime.device),
            "hot_index_bytes": self.runtime.hot_indexes.bytes,
            "memory_bytes": resident_bytes(),
            "takes_parts": PARTS_VERSION,
            "in_hand": sum(len(one.in_hand.names()) for one in list(self._taking)),
        }


def choose_device(wanted: str, slot: int) -> torch.device:
    """The device of the process in this slot."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    return torch.device("cuda", slot)


def main() -> None:
    """Entry point of one process; the launcher gives it a slot and a name."""
    parser = argparse.ArgumentParser(description="One worker process.")
    parser.add_argument("--slot", type=int, default=0)
    parser.add_argument("--name", default="")
    arguments = parser.parse_args()
    settings = WorkerSettings()
    configure_logs(settings.log_level, as_json=settings.log_json)
    configure_traces("datainf-worker", is_wanted=settings.traces)
    device = choose_device(settings.device, arguments.slot)
    set_cpu_threads(settings.cpu_threads)
    name = arguments.name or f"{socket.gethostname()}-{os.getpid()}"
    runtime = make_runtime(settings, name, device)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        runtime.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    WorkerProcess(runtime).run()
