"""The application that is fuzzed: over a server of its own, with something of every kind to be asked about."""

from collections import Counter
from pathlib import Path

from support.work import make_work

from app.main import create_app
from app.settings import ApiSettings
from harness.fuzz import run_fuzz
from influence.contracts.work import WORK_KINDS
from influence.store.connections import connect
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import accept


def fuzz_everything(folder: Path, *, seed: int, requests: int) -> tuple[Counter[str], list[str]]:
    """(answers by status, what was found wrong)."""
    server = EmbeddedServer(folder / "redis")
    server.start()
    try:
        store, files = Store(connect(server.url)), Files(folder / "data")
        limits = {
            "allowed_hosts": ["testserver"],
            "max_requests_per_minute": 10**9,
            "max_wait_seconds": 0.0,
            "hub_offline": True,
        }
        settings = ApiSettings(redis_url=server.url, data_dir=files.root, **limits)  # type: ignore[arg-type]
        return run_fuzz(create_app(settings, store=store, files=files), seed=seed, requests=requests, ids=fill(store))
    finally:
        server.stop()


def fill(store: Store) -> dict[str, str]:
    """Something of every kind of work; ids by the names of paths' parameters."""
    ids: dict[str, str] = {}
    for kind in WORK_KINDS:
        made = accept(store, make_work(kind))
        ids[f"{kind.name}_id"], ids["job_id"] = made.id, made.job_id
    return ids
