"""What a curator does, from a question to a better data set, by keyboard where a person would."""

import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect
from support.stories.page import Story, open_view
from support.tiny import LABELS


def test_from_a_wrong_answer_to_the_row_that_taught_it_and_its_new_label(page: Page, story: Story) -> None:
    open_view(page, f"/ui/indexes/{story.index_id}/trace")
    page.get_by_role("button", name="Typed").click()
    page.get_by_label("Text").fill("where is my refund")
    page.get_by_label("Label").select_option(index=1)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_selector("html[data-answered]")
    first = page.locator(".side.helpful .row").first
    expect(first).to_contain_text("▲")
    first.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Percentile")
    expect(page.get_by_role("dialog")).to_contain_text(re.compile(r"top 10 of\s*[1-9]\d* of the latest traces"))
    expect(page.get_by_role("dialog")).to_contain_text(re.compile(r"last audit\s*suspicion [\d.e-]+ · loss [\d.e-]+"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    address = page.url
    page.goto("about:blank")
    open_view(page, address)
    page.wait_for_selector("html[data-answered]")
    expect(page.locator(".asked")).to_contain_text("where is my refund")
    page.locator(".side.helpful .row").first.press("Enter")
    page.get_by_role("button", name="Decide about it").press("Enter")
    expect(page.locator(".review-card")).to_contain_text("1 of 1")
    expect(page.get_by_role("dialog")).to_have_count(0)
    label = page.locator(".review-card .facts dd").first.inner_text()
    other = next(number for number, name in enumerate(LABELS, start=1) if name != label)
    page.keyboard.press(str(other))
    expect(page.locator(".review-card")).to_contain_text(f"decided: relabel → {LABELS[other - 1]}")
    page.get_by_label("only those chosen before").press("Space")
    expect(page.locator(".queue li")).to_have_count(50)


def test_a_plain_model_is_sent_by_its_path_and_the_modules_that_were_trained(page: Page, story: Story) -> None:
    open_view(page, "/ui/")
    card = page.locator(".step").first
    card.get_by_label("Base model").fill(str(story.folder / "tiny" / "base"))
    card.get_by_label("or modules of the model itself").fill("bert.pooler, classifier")
    card.get_by_role("button", name="Send the checkpoint").press("Enter")
    expect(card).to_contain_text("/tiny/base, sequence classification, 1,155 parameters")
    sent = story.service.get("/v1/checkpoints")["data"]
    assert ["bert.pooler", "classifier"] in [checkpoint["trainable"] for checkpoint in sent]


def test_influence_is_held_against_plain_similarity(page: Page, story: Story) -> None:
    open_view(page, f"/ui/indexes/{story.index_id}/trace?dataset={story.dataset_id}&row=3")
    page.get_by_role("button", name="Compare with plain similarity").click()
    expect(page.locator(".beside")).to_contain_text("helpful rows are also among the 10 most similar ones")


def test_an_audit_of_thirty_decisions_ends_in_an_index_of_cleaned_rows(
    page: Page, story: Story, tmp_path: Path
) -> None:
    open_view(page, f"/ui/audits/{story.audit_id}")
    page.get_by_role("button", name="Review these rows").press("Enter")
    page.wait_for_selector(".review-card .decide")
    for number, key in enumerate(("q", "e", "1", "2", "n") * 6, start=1):
        page.keyboard.press(key)
        expect(page.locator(".review-head")).to_contain_text(f"{number} of 60 decided")
    page.keyboard.press("u")
    expect(page.locator("#notices")).to_contain_text("Taken back")
    page.reload()
    expect(page.locator(".review-head")).to_contain_text("29 of 60 decided")
    with page.expect_download() as handed:
        page.get_by_role("button", name="To Label Studio").press("Enter")
    handed.value.save_as(tmp_path / "tasks.json")
    assert len(json.loads((tmp_path / "tasks.json").read_text())) == 60
    page.get_by_role("button", name="Make the cleaned data set").press("Enter")
    expect(page.locator("main")).to_contain_text("Made from")
    expect(page.locator("main")).to_contain_text("6 removed")
    page.get_by_role("button", name=re.compile("index")).press("Enter")
    page.wait_for_url("**/ui/indexes/*")
    page.get_by_role("button", name="See what changed").press("Enter")
    expect(page.locator("dl").first).to_contain_text("Gone6")


def test_two_reviewers_at_once_keep_both_their_words(page: Page, story: Story) -> None:
    review = story.begin_review()
    open_view(page, f"/ui/reviews/{review}")
    page.wait_for_selector(".review-card .decide")
    row = story.service.get(f"/v1/audits/{story.audit_id}/rows")["data"][0]["row_index"]
    body = {"decisions": [{"row_index": row, "action": "remove"}], "by": "bob"}
    assert story.service.client.patch(f"/v1/reviews/{review}/decisions", json=body).status_code == 200
    page.keyboard.press("q")
    expect(page.locator("#notices")).to_contain_text("decided by bob meanwhile")
    (kept,) = story.service.get(f"/v1/reviews/{review}/decisions")["data"]
    assert (kept["action"], kept["by"]) == ("remove", "bob")


def test_rows_are_searched_by_their_words(page: Page, story: Story) -> None:
    open_view(page, f"/ui/reviews/{story.begin_review()}")
    page.keyboard.press("/")
    page.keyboard.type("password")
    page.keyboard.press("Enter")
    found = story.service.get(f"/v1/audits/{story.audit_id}/rows?q=password&length=50")["rows"]
    assert 0 < found < 60
    expect(page.locator(".review-card")).to_contain_text(f"1 of {found}")
    expect(page.locator(".queue li")).to_have_count(found)
    for row in page.locator(".queue li").all_text_contents():
        assert "password" in row
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".queue li")).to_have_count(found)


def test_an_index_gives_its_rows_out(page: Page, story: Story, tmp_path: Path) -> None:
    open_view(page, f"/ui/indexes/{story.index_id}")
    with page.expect_download() as handed:
        page.get_by_role("button", name="Download its rows").press("Enter")
    handed.value.save_as(tmp_path / "rows.jsonl")
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 60


def test_an_index_shows_what_was_asked_of_it(page: Page, story: Story) -> None:
    body = {"examples": [{"text": "where is my lost parcel", "label": 0}]}
    query = story.service.post(f"/v1/indexes/{story.index_id}/queries", json=body)
    open_view(page, f"/ui/indexes/{story.index_id}")
    page.get_by_role("link", name="where is my lost parcel").first.press("Enter")
    page.wait_for_selector("html[data-answered]")
    assert query["id"] in page.url
    expect(page.locator(".asked")).to_contain_text("where is my lost parcel")


def test_many_rows_are_decided_after_seeing_what_would_change(page: Page, story: Story) -> None:
    review = story.begin_review()
    open_view(page, f"/ui/reviews/{review}")
    page.get_by_role("button", name="Decide about many").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Action").select_option("later")
    dialog.get_by_label("The most suspicious first, at most").fill("7")
    dialog.get_by_label("only where the model disagrees").uncheck()
    dialog.get_by_role("button", name="See what would change").click()
    expect(dialog).to_contain_text("7 rows would change")
    assert story.service.get(f"/v1/reviews/{review}")["progress"]["decided"] == 0
    dialog.get_by_role("button", name="Decide about 7 rows").click()
    expect(page.locator(".review-head")).to_contain_text("7 of 60 decided")


def test_sources_are_compared_and_leaving_one_out_is_asked_about(page: Page, story: Story) -> None:
    open_view(page, f"/ui/indexes/{story.index_id}")
    page.get_by_label("Group rows by").select_option("source")
    page.get_by_role("button", name="Compare").click()
    line = page.locator("table").first.locator("tbody tr").filter(has_text="crawl")
    page.get_by_label("Leave out").select_option(label="group crawl")
    expect(page.locator(".what-if")).to_contain_text("Without these 15 rows")
    expect(page.locator(".what-if")).to_contain_text("Group crawl loses 100%")
    line.get_by_role("button", name="Rows").press("Enter")
    page.get_by_role("button", name="Review its rows").press("Enter")
    expect(page.locator(".review-card")).to_contain_text(re.compile("1 of 15.*crawl"))
    expect(page.locator(".queue li")).to_have_count(15)


def test_rows_are_sent_and_their_problems_shown(page: Page, story: Story, tmp_path: Path) -> None:
    rows = tmp_path / "more.jsonl"
    rows.write_text('{"text": "a", "label": "billing"}\n{"text": "a", "label": "access"}\n')
    open_view(page, "/ui/")
    page.get_by_label("JSONL, JSON, CSV or Parquet, or images in a .zip").set_input_files(rows)
    page.get_by_role("button", name="Send the rows").click()
    expect(page.locator(".step").nth(1)).to_contain_text("Taken: 2 rows")


def test_a_file_that_is_refused_says_why_and_what_to_do(page: Page, story: Story, tmp_path: Path) -> None:
    rows = tmp_path / "no.jsonl"
    rows.write_text('{"a": 1}\n')
    open_view(page, "/ui/")
    page.get_by_label("JSONL, JSON, CSV or Parquet, or images in a .zip").set_input_files(rows)
    with page.expect_response(lambda response: response.url.endswith("/v1/datasets") and response.status == 422):
        page.get_by_role("button", name="Send the rows").click()
    expect(page.get_by_role("alert")).to_contain_text("Request")
