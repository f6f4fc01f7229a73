"""Every view shows, says what it is, can be used by anyone, and never runs what a row holds."""

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect
from support.stories.page import HOSTILE, Story, assert_kept, assert_without_barrier, open_view

VIEWS: dict[str, Callable[[Story], str]] = {
    "home": lambda story: "/ui/",
    "index": lambda story: f"/ui/indexes/{story.index_id}",
    "trace": lambda story: f"/ui/indexes/{story.index_id}/trace?dataset={story.dataset_id}&row=3",
    "audit": lambda story: f"/ui/audits/{story.audit_id}",
    "review": lambda story: f"/ui/reviews/{story.begin_review()}",
    "groups": lambda story: f"/ui/groups/{story.compare_groups()}",
    "compare": lambda story: f"/ui/compare?from={story.index_id}&to={story.index_id}",
    "dataset": lambda story: f"/ui/datasets/{story.dataset_id}",
    "hostile rows": lambda story: f"/ui/datasets/{story.hostile_id}",
    "hostile trace": lambda story: f"/ui/indexes/{story.index_id}/trace?dataset={story.hostile_id}&row=0",
    "evaluation": lambda story: f"/ui/evaluations/{story.evaluate()}",
    "jobs": lambda story: "/ui/jobs",
    "job": lambda story: f"/ui/jobs/{story.service.get(f'/v1/indexes/{story.index_id}')['job_id']}",
    "settings": lambda story: "/ui/settings",
}

#: How wide a phone's window is.
PHONE = 390


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shows_without_fault_and_without_barrier_on_a_phone_too(page: Page, story: Story, name: str) -> None:
    open_view(page, VIEWS[name](story))
    if "trace" in name:
        page.wait_for_selector("html[data-answered]")
    expect(page.locator("h1")).to_have_count(1)
    assert_without_barrier(page)
    assert page.title() != "run"
    page.set_viewport_size({"width": PHONE, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert_kept(page, ["scrollable-region-focusable"])


@pytest.mark.parametrize("name", ["home", "index", "audit", "review", "groups"])
def test_what_a_view_begins_with_is_asked_for_once_before_its_modules_are_there(
    page: Page, story: Story, name: str
) -> None:
    path, asked = VIEWS[name](story), list[str]()
    page.on("request", lambda request: asked.append(request.url.removeprefix(story.url)))
    told = re.findall(r"<(/v1/[^>]+)>; rel=preload", story.service.client.get(path).headers["link"])
    open_view(page, path)
    assert told
    assert [asked.count(call) for call in told] == [1] * len(told)


@pytest.mark.parametrize("row", range(len(HOSTILE)))
def test_what_a_stranger_wrote_is_shown_as_text(page: Page, story: Story, row: int) -> None:
    open_view(page, f"/ui/indexes/{story.index_id}/trace?dataset={story.hostile_id}&row={row}")
    page.wait_for_selector("html[data-answered]")
    shown = page.locator(".asked .text").text_content()
    assert shown == HOSTILE[row]
    assert page.locator("main script, main img").count() == 0


def test_an_address_that_is_none_says_so(page: Page, story: Story) -> None:
    page.goto("/ui/indexes/idx_none/nothing")
    expect(page.get_by_role("alert")).to_contain_text("no such page")


def test_files_are_asked_for_again_only_when_they_changed(story: Story) -> None:
    first = story.service.client.get("/ui/static/app.js")
    again = story.service.client.get("/ui/static/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    policy = first.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_a_browser_is_sent_to_the_page_and_a_program_is_told_where_things_are(story: Story) -> None:
    sent = httpx.get(story.url, headers={"Accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (307, "/ui/")
    assert httpx.get(story.url).json()["openapi"] == "/openapi.json"


@pytest.mark.parametrize(
    "path", ["../../main.py", "%2e%2e/%2e%2e/main.py", "..%2f..%2froutes.py", "views/../../routes.py"]
)
def test_nothing_outside_the_static_files_is_served(story: Story, path: str) -> None:
    answer = httpx.get(f"{story.url}/ui/static/{path}")
    assert "import" not in answer.text or "<!doctype html>" in answer.text
