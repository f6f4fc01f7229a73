"""What every route works with, handed over by dependency rather than by global."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Annotated, cast

from fastapi import Depends, Request

from app.http.health.metrics import Metrics
from app.http.health.probe import Probe
from app.http.limits import Places
from app.settings import ApiSettings
from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.job import Job
from influence.store.connections import AsyncClient
from influence.store.data.files import Files
from influence.store.data.search.tables import RowTables
from influence.store.events import watch_job
from influence.store.store import Store


@dataclass(frozen=True)
class Context:
    """Settings, store, files and metrics of one application; `events` is the client that waits for job events,
    `event_streams` the places for callers who watch a job; `tables` are those in which rows are found; `stopping` is
    set when the process is asked to end."""

    settings: ApiSettings
    store: Store
    files: Files
    metrics: Metrics
    base_models: BaseModels
    events: AsyncClient
    event_streams: Places
    probe: Probe
    tables: RowTables
    stopping: Event = field(default_factory=Event)

    def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        """The job now and at every change; ends when it is final or gone, or the process stops."""
        return watch_job(self.events, job_id, partial(self.store.jobs.find, job_id), self.stopping)


async def find_context(request: Request) -> Context:
    """The context that `create_app` made."""
    return cast("Context", request.app.state.context)


Ctx = Annotated[Context, Depends(find_context)]
