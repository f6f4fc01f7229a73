"""A data set of a million rows as curators use it: filter, sort, search, page, bulk dry runs, files.

    python -m benchmarks.curation --rows 1000000 --write docs/benchmarks/curation.md

Every call goes through the application in this process and is taken several times in turn, after one that warms it.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.testclient import TestClient

from app.datasets.export import stream_export
from app.http.context import Context
from app.main import create_app
from app.settings import ApiSettings
from benchmarks.curation.data import WORDS, make_audit, make_dataset
from benchmarks.tables import markdown
from influence.contracts.audit import Audit
from influence.contracts.curation.conditions import RowSearch
from influence.contracts.dataset import Dataset
from influence.process.logs import configure_logs
from influence.store.connections import connect
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

ROUNDS = 7
#: A call may take this long, warm, on two cores.
TARGET_MS = 300.0
_PIECES_BETWEEN_LOOKS = 20


def calls(client: TestClient, dataset: Dataset, audit: Audit, review: str) -> dict[str, Callable[[int], Any]]:
    """What is measured, by name; each takes the number of the round, so that no answer is a remembered one."""
    rows, audited = f"/v1/datasets/{dataset.id}/rows", f"/v1/audits/{audit.id}/rows"

    def where(at: int) -> list[dict[str, Any]]:
        return [
            {"column": "source", "op": "eq", "value": f"s{at % 12}"},
            {"column": "price", "op": "gt", "value": 500 + at},
        ]

    def get(path: str, **parameters: Any) -> Any:
        answer = client.get(path, params={"length": 100, **parameters})
        answer.raise_for_status()
        return answer.json()

    def bulk(body: dict[str, Any]) -> Any:
        answer = client.post(f"/v1/reviews/{review}/decisions/bulk", json={**body, "dry_run": True})
        answer.raise_for_status()
        return answer.json()

    return {
        "page of rows, in the middle": lambda at: get(rows, offset=dataset.rows // 2 + 100 * at),
        "filter by two columns": lambda at: get(rows, where=json.dumps(where(at))),
        "filter, sorted by a text column": lambda at: get(rows, where=json.dumps(where(at)), sort="customer"),
        "sorted by a number, in the middle": lambda at: get(rows, sort="price", offset=dataset.rows // 2 + 100 * at),
        "two words": lambda at: get(rows, q=f"{WORDS[at]} {WORDS[at + 1]}"),
        "a phrase": lambda at: get(rows, q=f'"{WORDS[at]} {WORDS[at + 1]}"'),
        "audit: figures and metadata": lambda at: get(
            audited, where=json.dumps([*where(at), {"column": "suspicion", "op": "gt", "value": 0.5}])
        ),
        "bulk dry run: filter": lambda at: bulk({"filter": {"where": where(at)}, "action": "remove"}),
        "bulk dry run: relabel all that disagree": lambda at: bulk(
            {
                "filter": {"disagree": True, "min_suspicion": 0.5 + at / 100},
                "action": "relabel",
                "label_from": "predicted",
            }
        ),
    }


def time_calls(measured: dict[str, Callable[[int], Any]]) -> list[dict[str, Any]]:
    times: dict[str, list[float]] = {name: [] for name in measured}
    for at in range(ROUNDS + 1):
        for name, call in measured.items():
            started = time.perf_counter()
            call(at)
            if at:
                times[name].append(1000 * (time.perf_counter() - started))
    return [
        {"call": name, "median ms": statistics.median(found), "slowest ms": max(found)} for name, found in times.items()
    ]


def own_megabytes() -> float:
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def time_exports(context: Context, dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    for form in ("jsonl", "csv", "parquet", "huggingface"):
        before, most, size, started = own_megabytes(), 0.0, 0, time.perf_counter()
        for number, piece in enumerate(stream_export(context, dataset, form, RowSearch())):
            size += len(piece)
            if number % _PIECES_BETWEEN_LOOKS == 0:
                most = max(most, own_megabytes())
        found.append(
            {
                "file": form,
                "seconds": time.perf_counter() - started,
                "megabytes": size / 1e6,
                "memory grew by MB": max(most - before, 0.0),
            }
        )
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--write", type=Path)
    chosen = options.parse_args()
    configure_logs("WARNING", as_json=False)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = EmbeddedServer(folder / "redis")
        server.start()
        stack.callback(server.stop)
        store, files = Store(connect(server.url)), Files(folder / "data")
        dataset = make_dataset(files, store, chosen.rows)
        app = create_app(ApiSettings(redis_url=server.url, data_dir=files.root), store=store, files=files)
        client = stack.enter_context(TestClient(app, base_url="http://127.0.0.1"))
        started = time.perf_counter()
        client.get(f"/v1/datasets/{dataset.id}/rows", params={"q": "refund"}).raise_for_status()
        built = time.perf_counter() - started
        audit = make_audit(store, dataset)
        body = {"dataset_id": dataset.id, "audit_id": audit.id}
        review = client.post("/v1/reviews", json=body).json()["id"]
        timed = time_calls(calls(client, dataset, audit, review))
        exported = time_exports(app.state.context, dataset)
    report = describe(chosen.rows, built, timed, exported)
    print(report)
    if chosen.write is not None:
        chosen.write.write_text(report)


def describe(rows: int, built: float, timed: list[dict[str, Any]], exported: list[dict[str, Any]]) -> str:
    load = os.getloadavg()[0]
    return (
        "\n\n".join(
            [
                f"# Curating {rows:,} rows",
                f"`make bench-curation` on {os.cpu_count()} cores; load {load:.1f} when it ended. Calls go through "
                f"the application, {ROUNDS} rounds in turn, each round with other values, after one that warms. The "
                f"target is {TARGET_MS:g} ms. The first search of the data set made its table in {built:.1f} s.",
                markdown(timed),
                "Files of all rows. Memory is what no file stands behind, above what it was before.",
                markdown(exported),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
