"""A real browser on a real service. Whatever the page does wrong on the way fails the test that saw it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Route, ViewportSize, expect, sync_playwright
from support.processes.serving import Service, serving, wait_for_workers
from support.rows import make_ticket_rows
from support.stories.page import HOSTILE, Story, send_rows, zip_adapter
from support.tiny import LABELS, TinyCheckpoint, make_classifier

from influence.store.embedded import EmbeddedServer

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
VIEWPORT: ViewportSize = {"width": 1280, "height": 900}
ROWS = 60
WatchPage = Callable[[str], Page]
#: How long a browser waits for anything: only what hangs takes so long, however busy the machine.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that is there."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def story(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, wait_until: Callable[..., None]
) -> Iterator[Story]:
    """A tiny classifier, its rows, a ready index and a finished audit."""
    folder = tmp_path_factory.mktemp("page")
    tiny = make_classifier(folder / "tiny")
    store = EmbeddedServer(folder / "redis")
    store.start()
    environment = {
        "DATAINF_ALLOWED_ROOTS": json.dumps([str(folder)]),
        "DATAINF_CPU_THREADS": "1",
        "DATAINF_REDIS_URL": store.url,
    }
    with serving(folder / "data", **environment) as service:
        wait_for_workers(service, wait_until)
        yield _prepare(service, store.url, tiny, wait_until)
    store.stop()


def _prepare(service: Service, redis_url: str, tiny: TinyCheckpoint, wait_until: Callable[..., None]) -> Story:
    form = {"base_model": str(tiny.base), "label_names": json.dumps(LABELS)}
    checkpoint = service.post(
        "/v1/checkpoints", data=form, files={"adapter": ("adapter.zip", zip_adapter(tiny.adapter))}
    )
    rows = [{**row, "source": "crawl" if at % 4 == 0 else "forms"} for at, row in enumerate(make_ticket_rows(ROWS))]
    dataset = send_rows(service, "tickets.jsonl", rows)
    hostile = [{"text": text, "label": LABELS[at % len(LABELS)]} for at, text in enumerate(HOSTILE)]
    strange = send_rows(service, "<b>strange</b>.jsonl", hostile)
    body = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"], "max_length": 64}
    index = service.post("/v1/indexes", json=body)
    assert service.finish(index["job_id"], wait_until)["state"] == "succeeded"
    audit = service.post(f"/v1/indexes/{index['id']}/audits", json={})
    assert service.finish(audit["job_id"], wait_until)["state"] == "succeeded"
    ids = (index["id"], dataset["id"], strange["id"], audit["id"])
    return Story(service, redis_url, *ids, tiny.base.parent.parent)


@pytest.fixture(scope="session")
def window(browser: Browser, story: Story) -> Iterator[Page]:
    """The one page of most tests: a browser takes as long to open a new one as to show a view in it."""
    opened = _open_page(browser, story.url)
    yield opened
    opened.context.close()


@pytest.fixture
def page(window: Page) -> Iterator[Page]:
    """A page of the story's service, watched. It remembers nothing of the test before."""
    window.set_viewport_size(VIEWPORT)
    window.emulate_media(color_scheme="light")
    with _watched(window):
        yield window
    if window.url.startswith("http"):
        window.evaluate("localStorage.clear(), sessionStorage.clear()")
    window.goto("about:blank")


@pytest.fixture
def watch_page(browser: Browser) -> Iterator[WatchPage]:
    """Opens a page of the service at an address."""
    with ExitStack() as opened:
        yield lambda url: opened.enter_context(_watched_page(browser, url))


@contextmanager
def _watched_page(browser: Browser, url: str) -> Iterator[Page]:
    opened = _open_page(browser, url)
    with _watched(opened):
        yield opened
        opened.context.close()


def _open_page(browser: Browser, url: str) -> Page:
    context = browser.new_context(base_url=url, viewport=VIEWPORT, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    opened.add_init_script("addEventListener('securitypolicyviolation', e => console.error('policy', e.blockedURI))")
    return opened


@contextmanager
def _watched(page: Page) -> Iterator[None]:
    """Notes every fault: script errors, the console, the policy, and calls that leave this machine."""
    faults: list[str] = []

    def watch_request(route: Route) -> None:
        if urlparse(route.request.url).hostname not in ("127.0.0.1", None):
            faults.append(f"a request left this machine: {route.request.url}")
            route.abort()
        else:
            route.continue_()

    def watch_errors(error: Error) -> None:
        faults.append(f"script error: {error}")

    def watch_console(message: ConsoleMessage) -> None:
        if _is_fault(message):
            faults.append(f"console: {message.text}")

    page.route("**/*", watch_request)
    page.on("pageerror", watch_errors)
    page.on("console", watch_console)
    yield
    if not page.is_closed():
        page.remove_listener("console", watch_console)
        page.remove_listener("pageerror", watch_errors)
        page.unroute_all(behavior="ignoreErrors")
    assert not faults, faults


def _is_fault(message: ConsoleMessage) -> bool:
    """Chromium reports every refusal of the API, too; the page shows those itself."""
    return message.type == "error" and "/v1/" not in message.location.get("url", "")
