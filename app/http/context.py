"""What every route works with, handed over by dependency rather than by global."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Annotated, cast

from fastapi import Depends, Request

from app.http.auth import Asking
from app.http.health.metrics import Metrics
from app.http.health.probe import Probe
from app.http.limits import Places
from app.settings import ApiSettings
from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.common import DEFAULT_NAMESPACE
from influence.contracts.job import Job
from influence.store.access.key import Identity
from influence.store.connections import AsyncClient
from influence.store.data.files import Files
from influence.store.data.search.figures import AuditFigures
from influence.store.data.search.tables import RowTables
from influence.store.jobs.events import watch_job
from influence.store.store import Store


@dataclass(frozen=True)
class Context:
    """Settings, store, files and metrics of one application, as the caller in `namespace` sees them: `store` holds
    nothing of other namespaces, unless the caller is an administrator. `events` is the client that waits for job
    events, `event_streams` the places for callers who watch a job; `tables` are those in which rows are found,
    `figures` those of audits; `stopping` is set when the process is asked to end.
    """

    settings: ApiSettings
    store: Store
    files: Files
    metrics: Metrics
    base_models: BaseModels
    events: AsyncClient
    event_streams: Places
    probe: Probe
    tables: RowTables
    figures: AuditFigures
    namespace: str = DEFAULT_NAMESPACE
    stopping: Event = field(default_factory=Event)

    def seen_by(self, identity: Identity) -> "Context":
        """The context of a caller."""
        view = identity.view
        store = self.store if view is None else self.store.within(view)
        return replace(self, store=store, namespace=identity.namespace)

    def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        """The job now and at every change; ends when it is final or gone, or the process stops."""
        return watch_job(self.events, job_id, partial(self.store.jobs.find, job_id), self.stopping)


async def find_context(request: Request, identity: Asking) -> Context:
    """The context that `create_app` made, as who asks sees it. Raises Unauthorised."""
    return cast("Context", request.app.state.context).seen_by(identity)


async def find_open_context(request: Request) -> Context:
    """The context that `create_app` made, for what anybody may ask: it hands out nothing of anyone's."""
    return cast("Context", request.app.state.context)


Ctx = Annotated[Context, Depends(find_context)]
OpenCtx = Annotated[Context, Depends(find_open_context)]
