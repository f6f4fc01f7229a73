"""A language model's answer: a part of it is chosen by keyboard, and the tokens that taught it are shown."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect
from support.rows import make_completion_rows
from support.stories.page import Story, assert_without_barrier, open_view, zip_adapter
from support.tiny import make_causal

ROWS = 40
LEVEL = re.compile("influence (high|medium|low|none)")
#: A prompt and a completion whose characters are not all of one unit in a browser, and whose lines end in two.
ODD = {"prompt": "where is it ", "completion": "😀 refund\r\nlost parcel please"}


@dataclass(frozen=True)
class Answers:
    dataset_id: str
    index_id: str


@pytest.fixture(scope="session")
def answers(story: Story, wait_until: Callable[..., None]) -> Answers:
    """A tiny language model, its rows, and a ready index."""
    service = story.service
    tiny = make_causal(story.folder / "causal")
    files = {"adapter": ("adapter.zip", zip_adapter(tiny.adapter))}
    checkpoint = service.post("/v1/checkpoints", data={"base_model": str(tiny.base)}, files=files)
    dataset = story.send_rows("answers.jsonl", [{"id": "odd", **ODD}, *make_completion_rows(ROWS)])
    body = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"], "max_length": 64}
    index = service.post("/v1/indexes", json=body)
    assert service.finish(index["job_id"], wait_until)["state"] == "succeeded"
    return Answers(dataset["id"], index["id"])


def open_trace(page: Page, answers: Answers, row: int) -> None:
    open_view(page, f"/ui/indexes/{answers.index_id}/trace?dataset={answers.dataset_id}&row={row}")
    page.wait_for_selector("html[data-answered]")


def ask_again(page: Page) -> None:
    """Press Ask and wait for another answer than the one that is shown."""
    before = page.locator("html").get_attribute("data-answered")
    page.get_by_role("button", name="Ask", exact=True).press("Enter")
    page.wait_for_selector(f'html[data-answered]:not([data-answered="{before}"])')


def select(page: Page, field: Locator, first: int, length: int) -> None:
    """Select characters by keyboard alone."""
    field.focus()
    page.keyboard.press("Control+Home")
    for _ in range(first):
        page.keyboard.press("ArrowRight")
    for _ in range(length):
        page.keyboard.press("Shift+ArrowRight")


def test_a_generation_is_traced_by_the_part_and_the_tokens_that_matter(page: Page, answers: Answers) -> None:
    open_trace(page, answers, 2)
    page.get_by_role("button", name="Ask about a part of its answer").press("Enter")
    answer = page.get_by_label("Completion")
    word = answer.input_value().split()[0]
    select(page, answer, 0, len(word))
    page.get_by_label("show which tokens count").press("Space")
    page.get_by_label("say which rows stand out").press("Space")
    ask_again(page)
    expect(page.locator(".asked mark")).to_have_text(word)
    expect(page.locator(".asked .tokens .token")).not_to_have_count(0)
    expect(page.locator(".side.helpful .row").first).to_contain_text(LEVEL)
    page.locator(".side.helpful .row").first.press("Enter")
    panel = page.get_by_role("dialog")
    expect(panel).to_contain_text("what each token adds to the score")
    expect(panel.locator(".keys li").first).to_contain_text("0")
    assert panel.locator(".token.helpful, .token.harmful").count() > 0
    assert_without_barrier(page)
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("html[data-answered]")
    expect(page.locator(".asked mark")).to_have_text(word)
    expect(page.get_by_label("Explain")).to_have_value("span")


def test_a_part_of_a_stored_answer_is_counted_in_characters(page: Page, answers: Answers) -> None:
    open_trace(page, answers, 0)
    page.get_by_label("Explain").select_option("span")
    select(page, page.get_by_label("Part of the answer"), len("😀 refund\r\n"), len("lost"))
    ask_again(page)
    expect(page.locator(".asked mark")).to_have_text("lost")


def test_a_part_that_is_not_chosen_is_asked_for(page: Page, answers: Answers) -> None:
    open_trace(page, answers, 1)
    page.get_by_label("Explain").select_option("span")
    page.get_by_role("button", name="Ask", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Shift and the arrow keys")


def test_an_answer_is_held_against_another(page: Page, story: Story, answers: Answers) -> None:
    open_trace(page, answers, 3)
    page.get_by_label("Against another answer").fill("cancel plan")
    ask_again(page)
    expect(page.locator(".asked")).to_contain_text("cancel plan (loss")
    open_view(page, f"/ui/indexes/{story.index_id}/trace?dataset={story.dataset_id}&row=3")
    page.wait_for_selector("html[data-answered]")
    label = story.service.get(f"/v1/datasets/{story.dataset_id}/rows?offset=3&length=1")["data"][0]["row"]["label"]
    other = "billing" if label != "billing" else "access"
    page.get_by_label("Against another answer").select_option(other)
    ask_again(page)
    expect(page.locator(".asked")).to_contain_text(f"{other} (loss")
