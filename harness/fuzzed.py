"""The application that is fuzzed: over a server of its own, with a worker that works on what is accepted."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fastapi import FastAPI
from support.api import LocalClient
from support.service import running_worker
from support.tiny import make_classifier

from app.main import create_app
from app.settings import ApiSettings
from harness.furnished import Furnished, furnish
from harness.fuzz import run_fuzz
from influence.store.connections import connect
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

_EVERY = 1_000_000


def fuzz_everything(folder: Path, *, seed: int, requests: int) -> tuple[Counter[str], list[str]]:
    """(answers by status, what was found wrong), also in the jobs that came of them."""
    server = EmbeddedServer(folder / "redis")
    server.start()
    try:
        with furnished_app(folder, server.url) as (app, furnished):
            statuses, wrong = run_fuzz(app, furnished, seed=seed, requests=requests)
        with closing(Store(connect(server.url))) as store:
            return statuses, [*wrong, *find_broken_jobs(store)]
    finally:
        server.stop()


@contextmanager
def furnished_app(folder: Path, url: str) -> Iterator[tuple[FastAPI, Furnished]]:
    """An application with something of every kind, and its worker, until the block ends."""
    tiny = make_classifier(Path(tempfile.mkdtemp(dir=folder)))
    store, files = Store(connect(url)), Files(folder / "data")
    aliases = {"tiny": str(tiny.base)}
    settings = ApiSettings(
        redis_url=url,
        data_dir=files.root,
        base_model_aliases=aliases,
        allowed_hosts=["testserver", "127.0.0.1"],
        max_requests_per_minute=10**9,
        max_wait_seconds=0.0,
        hub_offline=True,
    )
    app = create_app(settings, store=store, files=files, owns_store=True)
    with running_worker(url, files.root, base_model_aliases=aliases), LocalClient(app) as client:
        yield app, furnish(client, tiny)


def find_broken_jobs(store: Store) -> list[str]:
    """Jobs that failed for a reason which no caller is told: `internal`."""
    jobs = store.jobs.page(limit=_EVERY).data
    return [f"{job.kind} {job.id} failed: {job.error}" for job in jobs if (job.error or {}).get("code") == "internal"]
