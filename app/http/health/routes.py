"""/health and /metrics"""

from fastapi import APIRouter, Response, Security
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.http.auth import authenticate
from app.http.context import Ctx, OpenCtx
from app.http.problems import describe_errors
from app.http.strict_json import StrictRoute

router = APIRouter(tags=["health"], route_class=StrictRoute)


@router.get("/health/live", summary="Is the process up?")
async def read_live() -> dict[str, str]:
    """Asks nothing of Redis."""
    return {"status": "live"}


@router.get(
    "/health/ready", summary="Can requests be served?", responses={503: {"description": "Not now; see `notes`."}}
)
async def read_ready(context: OpenCtx) -> Response:
    """200 when Redis answers and may not evict records; `workers` and `notes` tell the rest. Within a second."""
    found = await context.probe.look()
    return JSONResponse(found, 200 if found["status"] == "ready" else 503)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "The text format of Prometheus.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **describe_errors(),
    },
    dependencies=[Security(authenticate)],
)
def read_metrics(context: Ctx) -> Response:
    """Needs an API key where keys are set."""
    return Response(context.metrics.render(), media_type=CONTENT_TYPE_LATEST)
