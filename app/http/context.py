"""What every route works with, handed over by dependency rather than by global."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.http.limits import Places
from app.http.metrics import Metrics
from app.settings import ApiSettings
from influence.checkpoint_files.base_models import BaseModels
from influence.store.connections import AsyncClient
from influence.store.data.files import Files
from influence.store.store import Store


@dataclass(frozen=True)
class Context:
    """Settings, store, files and metrics of one application; `events` is the client that waits for job events,
    `event_streams` the places for callers who watch a job."""

    settings: ApiSettings
    store: Store
    files: Files
    metrics: Metrics
    base_models: BaseModels
    events: AsyncClient
    event_streams: Places


async def find_context(request: Request) -> Context:
    """The context that `create_app` made."""
    return cast("Context", request.app.state.context)


Ctx = Annotated[Context, Depends(find_context)]
