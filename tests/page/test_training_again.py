"""What only training again can tell, begun from the page: what it costs is said before, and it can be ended."""

from collections.abc import Callable

from playwright.sync_api import Page, expect
from support.stories.page import Story, assert_without_barrier, open_view

#: Longer than a few tiny trainings take on a busy machine.
TRAINED_MILLISECONDS = 300_000


def test_leaving_out_one_percent_is_asked_about_and_then_tried(page: Page, story: Story) -> None:
    open_view(page, f"/ui/groups/{story.compare_groups()}")
    share = page.get_by_label("Share of all rows")
    share.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(share).to_have_value("1")
    answer = page.locator(".what-if")
    expect(answer).to_contain_text("Without these 1 rows")
    expect(answer).to_contain_text("9 trainings of")
    page.get_by_role("button", name="Train again to know").press("Enter")
    expect(page.locator("h1")).to_have_text("Evaluation: leave-out", timeout=TRAINED_MILLISECONDS)
    expect(page.get_by_text("What follows, and what does not")).to_be_visible(timeout=TRAINED_MILLISECONDS)
    expect(page.locator("figure svg").first).to_be_visible()
    assert_without_barrier(page)


def test_an_evaluation_says_what_it_takes_and_can_be_ended(page: Page, story: Story) -> None:
    open_view(page, f"/ui/indexes/{story.index_id}")
    page.get_by_text("Begin an evaluation").click()
    form = page.locator("details form")
    form.get_by_label("Test points from").select_option(story.dataset_id)
    form.get_by_label("Random halves").fill("2000")
    form.get_by_label("Epochs of each").fill("3")
    # Halves of 60 rows: 30 in two batches of 16 at most.
    expect(form).to_contain_text("Takes 2,000 trainings of 12,000 steps together, about")
    form.get_by_label("Question").select_option("leave-out")
    expect(form.get_by_label("Rows left out")).to_have_value("15")
    # All 60 rows in four batches, 45 of them in three.
    expect(form).to_contain_text("Takes 9 trainings of 90 steps together, about")
    form.get_by_label("Question").select_option("lds")
    form.get_by_label("Random halves").fill("2000")
    form.get_by_role("button", name="Train again to know").press("Enter")
    expect(page.locator("h1")).to_have_text("Evaluation: lds")
    asked = story.service.get(f"/v1/evaluations/{page.url.rsplit('/', 1)[1]}")
    assert (asked["request"]["subsets"], asked["request"]["recipe"]["epochs"]) == (2000, 3)
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("cancelled")
    assert story.service.get(f"/v1/jobs/{asked['job_id']}")["state"] == "cancelled"


def test_what_a_review_changed_is_shown_beside_the_index_before_it(
    page: Page, story: Story, wait_until: Callable[..., None]
) -> None:
    index = story.apply_review(wait_until)
    open_view(page, f"/ui/indexes/{story.index_id}")
    for label in ("Judge by their effect on", "Test points from"):
        # Rows are not judged on themselves, though what a review made of them is the latest data set.
        offered = story.service.get(f"/v1/datasets/{page.get_by_label(label).input_value()}")
        assert (offered["derived_from"] or {"dataset_id": offered["id"]})["dataset_id"] != story.dataset_id
    open_view(page, f"/ui/indexes/{index}")
    # Other tests may have made indexes since: the latest one is what is offered first.
    page.get_by_label("From", exact=True).select_option(story.index_id)
    page.get_by_role("button", name="See what changed").press("Enter")
    expect(page.locator("h1")).to_have_text("What changed?")
    expect(page.locator("dl").first).to_contain_text("Gone1")
    expect(page.locator("dl").first).to_contain_text("With another label1")
    expect(page.locator("main")).to_contain_text("billing → access")
    expect(page.locator("main")).to_contain_text("There are no finished audits of both indexes")
    page.get_by_role("link", name="The other way round").press("Enter")
    expect(page.locator("main")).to_contain_text("access → billing")
