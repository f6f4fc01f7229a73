"""/health and /metrics"""

from typing import Any

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.http.auth import Caller
from app.http.context import Ctx
from app.http.problems import describe_errors
from app.http.strict_json import StrictRoute
from influence.store.connections import StoreError
from influence.store.store import Store

log = structlog.get_logger()

router = APIRouter(tags=["health"], route_class=StrictRoute)


@router.get("/health/live", summary="Is the process up?")
async def read_live() -> dict[str, str]:
    """Asks nothing of Redis."""
    return {"status": "live"}


@router.get(
    "/health/ready", summary="Can requests be served?", responses={503: {"description": "Not now; see `notes`."}}
)
def read_ready(context: Ctx) -> Response:
    """200 when Redis answers and may not evict records; `workers` and `notes` tell the rest."""
    found = inspect_store(context.store)
    return JSONResponse(found, 200 if found["status"] == "ready" else 503)


@router.get("/metrics", summary="Prometheus metrics", responses=describe_errors())
def read_metrics(context: Ctx, caller: Caller) -> Response:
    """Needs an API key where keys are set."""
    return Response(context.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def inspect_store(store: Store) -> dict[str, Any]:
    """What stands in the way of serving."""
    try:
        store.ping()
        workers = len(store.workers.alive())
    except StoreError as error:
        log.error("the store does not answer", error=str(error))
        return _report("unavailable", 0, ["The Redis server does not answer."])
    notes = [] if workers else ["No worker is running: builds and queries wait in the queue."]
    if not _is_durable(store):
        return _report("unsafe", workers, [*notes, "Redis may evict records: set maxmemory-policy to volatile-lru."])
    return _report("ready", workers, notes)


def _report(status: str, workers: int, notes: list[str]) -> dict[str, Any]:
    return {"status": status, "workers": workers, "notes": notes}


def _is_durable(store: Store) -> bool:
    try:
        return store.is_durable_safe()
    except StoreError:  # CONFIG is forbidden on hosted servers: their operator answers for the policy
        return True
