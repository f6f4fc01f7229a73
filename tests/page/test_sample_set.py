"""A fresh service, no data at hand: one button, and there is something to look at."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from support.processes.serving import Service, serving, wait_for_workers
from support.stories.page import assert_without_barrier, open_view

from demo.sample.rows import BAD_SOURCE, make_rows

KEY = "a-key-of-this-test-alone"
#: Fewer than are found: what is computed differs a little from machine to machine.
LEAST_FOUND = 24


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, wait_until: Callable[..., None]) -> Iterator[Service]:
    """A service that holds nothing and asks for a key."""
    folder = tmp_path_factory.mktemp("fresh")
    with serving(folder / "data", DATAINF_API_KEYS=f'["{KEY}"]', DATAINF_CPU_THREADS="1") as service:
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        wait_for_workers(service, wait_until)
        yield service


def load_it(page: Page) -> str:
    """Press the button and wait for the audit that it ends at; answers its id."""
    page.get_by_role("button", name="Load the sample set").press("Enter")
    page.wait_for_url("**/ui/audits/*")
    expect(page.locator("table tbody tr")).to_have_count(50)
    return page.url.rsplit("/", 1)[1]


def test_a_fresh_service_shows_wrong_labels_a_bad_source_and_finds_the_sample_set_again(
    fresh: Service, watch_page: Callable[[str], Page]
) -> None:
    page = watch_page(str(fresh.client.base_url))
    page.goto("/ui/")
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("No index yet")
    assert_without_barrier(page)
    audit = load_it(page)
    expect(page.locator("main")).to_contain_text("400 rows")
    wrong = {row.id for row in make_rows()[0] if row.is_wrong}
    found = {row["row_id"] for row in fresh.get(f"/v1/audits/{audit}/rows?length={len(wrong)}")["data"]}
    assert len(wrong & found) >= LEAST_FOUND
    open_view(page, "/ui/")
    assert load_it(page) == audit
    page.get_by_role("link", name="Index").press("Enter")
    page.get_by_label("Group rows by").select_option("source")
    page.get_by_role("button", name="Compare", exact=True).press("Enter")
    expect(page.locator("table").first.locator("tbody tr").last).to_contain_text(re.compile(f"{BAD_SOURCE}.*▼"))
