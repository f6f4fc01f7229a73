"""The page in a browser: its first view, the next card of a review, and pages of an audit of any size.

    python -m benchmarks.page --rows 1000000 --write docs/benchmarks/page.md

A process of the API of its own serves it; nothing else should run on the machine. Needs Chromium.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

from benchmarks.curation.data import make_audit, make_dataset
from benchmarks.page.measures import Views, measure_audits, measure_first_views, measure_review
from benchmarks.tables import markdown
from influence.store.connections import connect
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

SMALL_ROWS = 1000
START_SECONDS = 120.0


def main() -> int:
    """0 when every target is met."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000, help="rows of the large audit")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options.add_argument("--write", type=Path)
    chosen = options.parse_args()
    if chosen.chromium is None:
        options.error("no Chromium: apt-get install chromium")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        views = stack.enter_context(serving(folder, chosen.rows))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=chosen.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        figures = measure(browser, views, chosen.rounds)
        version = browser.version
    report = describe(chosen.rows, chosen.rounds, version, figures)
    print(report)
    if chosen.write is not None:
        chosen.write.write_text(report)
    return int(any(line["met"] == "no" for line in figures))


@contextmanager
def serving(folder: Path, rows: int) -> Iterator[Views]:
    """The API as a process, with a small and a large audit, and a review of the large one."""
    server = EmbeddedServer(folder / "redis")
    server.start()
    store, files = Store(connect(server.url)), Files(folder / "data")
    audits = []
    for name, count in (("small", SMALL_ROWS), ("large", rows)):
        audits.append(make_audit(store, make_dataset(files, store, count, f"ds_{name}")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"REDIS_URL": server.url, "DATA_DIR": str(files.root), "PORT": str(port), "LOG_LEVEL": "WARNING"}
    environment = {**os.environ, **{f"DATAINF_{name}": value for name, value in settings.items()}}
    api = subprocess.Popen([sys.executable, "-m", "app"], env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_live(url)
        body = {"dataset_id": audits[1].dataset_id, "audit_id": audits[1].id}
        review = httpx.post(f"{url}/v1/reviews", json=body, timeout=START_SECONDS).raise_for_status().json()
        yield Views(url, small=audits[0].id, large=audits[1].id, review=review["id"])
    finally:
        api.terminate()
        api.wait()
        server.stop()


def wait_until_live(url: str) -> None:
    """Raises TimeoutError where it does not answer in START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health/live").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("The API does not answer.")


def measure(browser: Browser, views: Views, rounds: int) -> list[dict[str, Any]]:
    """All figures, each with its target."""
    return [
        *measure_first_views(browser, views, rounds),
        *measure_review(browser, views),
        *measure_audits(browser, views, rounds),
    ]


def describe(rows: int, rounds: int, version: str, figures: list[dict[str, Any]]) -> str:
    """The report in Markdown."""
    return (
        "\n\n".join(
            [
                "# The page in a browser",
                f"`make bench-page` on {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} when it ended; Chromium "
                f"{version}, {rounds} rounds. All figures are milliseconds, measured by the browser's own clock.",
                markdown(figures),
                "*First view*: from the first byte of the document, in a browser that has never seen the page, until "
                "the view is complete. *Next card*: from the key until the next row is painted, 60 decisions in turn, "
                "each saved behind it; the slowest is the one that fetches the next 50 rows. *Page*: from the click on "
                f"Next until the rows are painted, in an audit of {SMALL_ROWS:,} and of {rows:,} rows, in turns.",
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
