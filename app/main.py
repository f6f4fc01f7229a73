"""The application: everything is made here and handed down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.audits import routes as audits
from app.checkpoints import routes as checkpoints
from app.checkpoints import run_routes as runs
from app.datasets import image_routes as row_images
from app.datasets import preview_routes as previews
from app.datasets import routes as datasets
from app.evaluations import routes as evaluations
from app.http.auth import Doorkeeper
from app.http.context import Context
from app.http.health import routes as health
from app.http.health.metrics import Metrics
from app.http.health.probe import Probe
from app.http.limits import Places
from app.http.multipart import FORM_OVERHEAD_BYTES
from app.http.problems import Problem, install_handlers
from app.http.serving.bounds import WRONG_KEYS_PER_MINUTE, CallerBounds, Rate
from app.http.serving.conditional import COMPRESSION, ConditionalGet
from app.http.serving.copies import look_after_copies
from app.http.serving.head import HeadAsGet
from app.http.serving.keys import KeyGuard
from app.http.serving.middleware import BodyLimit, RequestFrame
from app.http.serving.origins import CROSS_ORIGIN, OriginGuard
from app.http.serving.traces import describe_traces
from app.indexes import routes as indexes
from app.indexes.comparing import routes as comparisons
from app.jobs import routes as jobs
from app.jobs.webhooks import routes as webhooks
from app.queries import method_routes as methods
from app.queries import routes as queries
from app.queries.groups import routes as groups
from app.reviews import routes as reviews
from app.reviews import row_routes as reviewed_rows
from app.settings import ApiSettings
from app.sweeps import routes as sweeps
from app.ui import docs
from app.ui import routes as page
from influence.checkpoint_files.base_models import BaseModels
from influence.store.access.api_keys import ApiKeys
from influence.store.connections import BRISK, PROMPT, close_async, connect, connect_async
from influence.store.data.files import Files, open_files
from influence.store.data.search.figures import AuditFigures
from influence.store.data.search.tables import RowTables
from influence.store.store import Store

log = structlog.get_logger()

TITLE = "datainf-service"
VERSION = version(TITLE)
DESCRIPTION = """Ask a fine-tuned model which training rows taught it a behaviour.

Send a **checkpoint** (base model + LoRA adapter) and a **data set**, build an **index**, then **query** it.
`score > 0` is helpful: training on the row lowered the loss of the test point. `influence = -score`.
Errors are `application/problem+json` with a stable `code` and a `hint` that says what to do next.
"""
#: The tags of the document in their order, each with what it is about and the routes that carry it.
RESOURCES: dict[str, tuple[str, tuple[APIRouter, ...]]] = {
    "checkpoints": ("Base model and adapter, by the digest of their files.", (checkpoints.router, runs.router)),
    "datasets": (
        "Rows, addressed by the digest of their normal form.",
        (datasets.router, row_images.router, previews.router),
    ),
    "indexes": ("All that is cached for a checkpoint and a data set.", (indexes.router, comparisons.router)),
    "queries": ("Test points scored against an index.", (methods.router, queries.router)),
    "audits": ("Training rows ranked by evidence that their label is wrong.", (audits.router,)),
    "reviews": ("What people decided about the rows of a data set.", (reviews.router, reviewed_rows.router)),
    "groups": ("Training rows taken together, and what leaving rows out is predicted to do.", (groups.router,)),
    "sweeps": ("How much a method's rankings depend on its damping.", (sweeps.router,)),
    "evaluations": ("Experiments that train again to say which scores to trust.", (evaluations.router,)),
    "jobs": ("Long work: watch it, cancel it.", (jobs.router,)),
    "webhooks": ("Addresses that are told what happened.", (webhooks.router,)),
    "health": ("Probes and metrics.", (health.router,)),
}
#: Made once: including a router takes all its routes apart again, for every application and at its first request.
ROUTES = [route for _, routers in RESOURCES.values() for router in routers for route in router.routes]
for _route in ROUTES:
    if isinstance(_route, APIRoute):
        # What generated clients call their functions: read_audit, not read_audit_v1_audits__audit_id__get.
        _route.operation_id = _route.name
TAGS = [{"name": name, "description": about} for name, (about, _) in RESOURCES.items()]


def create_app(settings: ApiSettings, *, store: Store, files: Files, owns_store: bool = False) -> FastAPI:
    """The ASGI application. Nothing is sent to Redis until the first request.

    A store that it owns is closed when it ends.
    """
    metrics = Metrics(store)
    base_models = BaseModels(
        aliases=settings.base_model_aliases, allowed_roots=settings.allowed_roots, data_dir=settings.data_dir
    )
    context = Context(
        settings,
        store,
        files,
        metrics,
        base_models,
        connect_async(store.connections.state_url),
        Places(settings.max_event_streams, "event streams"),
        Probe(Store(store.connections.again(BRISK)), files),
        RowTables(files),
        AuditFigures(),
    )

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        for path in await run_in_threadpool(files.sweep):
            log.info("removed what a killed process left", path=str(path))
        copies = asyncio.create_task(look_after_copies(context))
        yield
        copies.cancel()
        await asyncio.wait([copies])
        await close_async(context.events)
        context.probe.close()
        if owns_store:
            await run_in_threadpool(store.close)

    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=live,
        docs_url=None,
        redoc_url=None,
        routes=list(ROUTES),
        telemetry=describe_traces(),
    )
    app.state.context = context
    _add_layers(app, context)
    install_handlers(app)
    app.mount(docs.ASSETS_PATH, docs.ASSETS, name="docs")
    app.include_router(docs.router)
    app.include_router(page.router)
    app.openapi = describe_api  # type: ignore[method-assign]
    return app


def _add_layers(app: FastAPI, context: Context) -> None:
    """What every request passes, the innermost first."""
    settings = context.settings
    keys = ApiKeys(context.store.connections.state, context.files.secret)
    app.state.doorkeeper = doorkeeper = Doorkeeper(settings, keys)
    app.add_middleware(BodyLimit, max_bytes=settings.max_request_bytes, uploads=_upload_limits(settings))
    app.add_middleware(
        OriginGuard, hosts=settings.allowed_hosts, origins=settings.allowed_origins, has_keys=settings.has_keys
    )
    app.add_middleware(
        CallerBounds, at_once=settings.max_requests_per_caller, per_minute=settings.max_requests_per_minute
    )
    wrong_keys = Rate(WRONG_KEYS_PER_MINUTE, "keys that are none")
    app.add_middleware(KeyGuard, identify=doorkeeper.identify, blame=wrong_keys.take)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.allowed_origins, **CROSS_ORIGIN)
    app.add_middleware(ConditionalGet)
    app.add_middleware(GZipMiddleware, **COMPRESSION)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestFrame, metrics=context.metrics)


def app_from(settings: ApiSettings) -> FastAPI:
    """The application over the stores that the settings name."""
    files = open_files(settings)
    store = Store(connect(settings.redis_url, settings.cache_url, PROMPT), files)
    return create_app(settings, store=store, files=files, owns_store=True)


def _upload_limits(settings: ApiSettings) -> dict[str, int]:
    return {
        "/v1/checkpoints": settings.max_adapter_bytes + FORM_OVERHEAD_BYTES,
        "/v1/runs": settings.max_adapter_bytes + FORM_OVERHEAD_BYTES,
        "/v1/datasets": settings.max_dataset_bytes + FORM_OVERHEAD_BYTES,
    }


@cache
def describe_api() -> dict[str, Any]:
    """The OpenAPI document, which no setting changes; with the problem schema, which no route names as a model."""
    document = get_openapi(title=TITLE, version=VERSION, description=DESCRIPTION, routes=ROUTES, tags=TAGS)
    document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    return document
