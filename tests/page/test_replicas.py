"""Two replicas behind a round robin: a copied link shows the same, reviews go on, and lost events are made up for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.api import ApiProcess, running_api
from support.processes.round_robin import round_robin
from support.stories.page import Story, open_view

WaitUntil = Callable[..., None]


@pytest.fixture
def second(story: Story, tmp_path: Path, wait_until: WaitUntil) -> Iterator[ApiProcess]:
    """Another process of the API, on the same store and files."""
    with running_api(tmp_path, wait_until, redis_url=story.redis_url, data_dir=str(story.data)) as api:
        yield api


def test_a_review_goes_on_over_two_replicas_and_when_one_dies(page: Page, story: Story, second: ApiProcess) -> None:
    review = story.begin_review()
    with round_robin([story.url, second.url]) as proxy:
        open_view(page, f"{proxy.url}/ui/reviews/{review}?sort=loss")
        page.wait_for_selector(".review-card .decide")
        for key in ("q", "e", "n", "1"):
            page.keyboard.press(key)
        expect(page.locator(".review-head")).to_contain_text("4 of 60 decided")
        assert min(proxy.answered[story.url], proxy.answered[second.url]) > 3
        shown = page.locator(".review-card .text").inner_text()
        link = page.url.removeprefix(proxy.url)
        open_view(page, second.url + link)
        expect(page.locator(".review-card .text")).to_have_text(shown)
        expect(page.locator(".review-head")).to_contain_text("4 of 60 decided")
        second.process.kill()
        second.process.wait()
        open_view(page, proxy.url + link)
        page.keyboard.press("e")
        expect(page.locator(".review-head")).to_contain_text("5 of 60 decided")


def test_a_copied_link_of_an_answer_shows_the_same_on_the_other_replica(
    page: Page, story: Story, second: ApiProcess
) -> None:
    open_view(page, f"/ui/indexes/{story.index_id}/trace?dataset={story.dataset_id}&row=5")
    page.wait_for_selector("html[data-answered]")
    rows = page.locator(".side .row").all_inner_texts()
    open_view(page, second.url + page.url.removeprefix(story.url))
    page.wait_for_selector("html[data-answered]")
    assert page.locator(".side .row").all_inner_texts() == rows


def test_lost_events_are_made_up_for_by_asking(page: Page, story: Story) -> None:
    begun = story.begin_long_evaluation()
    with round_robin([story.url], loses_events=True) as proxy:
        open_work(page, f"{proxy.url}/ui/evaluations/{begun['id']}")
        expect(page.locator(".progress")).to_contain_text(" of ")
        for _ in range(2):
            with page.expect_request("**/events"):
                pass
        assert proxy.lost_streams > 1
        page.get_by_role("button", name="Cancel").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("cancelled")


def open_work(page: Page, address: str) -> None:
    """A view whose work goes on: it is not complete before that ends."""
    page.goto(address)
    page.wait_for_selector(".watching")
