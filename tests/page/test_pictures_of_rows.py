"""A set of images on the page: from an audit to a cleaned data set, with the pictures at hand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.stories.page import Story, assert_without_barrier, open_view, zip_adapter
from support.uploads.image_models import make_image_classifier
from support.uploads.images import COLOURS, draw_image, make_image_zip, png_bytes

ROWS = 24
#: All pictures of a view are there: fetched with the key, decoded and drawn.
DRAWN = "() => [...document.images].length > 0 && [...document.images].every((one) => one.naturalWidth > 0)"


@dataclass(frozen=True)
class Pictures:
    dataset_id: str
    index_id: str
    audit_id: str


@pytest.fixture(scope="session")
def pictures(story: Story, wait_until: Callable[..., None]) -> Pictures:
    """An image classifier, its rows, a ready index and a finished audit."""
    service, folder = story.service, story.folder / "pictures"
    tiny = make_image_classifier(folder)
    form = {"base_model": str(tiny.base)}
    checkpoint = service.post(
        "/v1/checkpoints", data=form, files={"adapter": ("adapter.zip", zip_adapter(tiny.adapter))}
    )
    names = [f"{list(COLOURS)[at % len(COLOURS)]}/{at}.png" for at in range(ROWS)]
    drawn = {name: png_bytes(draw_image(at, (32, 24))) for at, name in enumerate(names)}
    content = make_image_zip(folder / "shapes.zip", drawn).read_bytes()
    dataset = service.post("/v1/datasets", files={"file": ("shapes.zip", content)})
    index = service.post("/v1/indexes", json={"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]})
    assert service.finish(index["job_id"], wait_until)["state"] == "succeeded"
    audit = service.post(f"/v1/indexes/{index['id']}/audits", json={})
    assert service.finish(audit["job_id"], wait_until)["state"] == "succeeded"
    return Pictures(dataset["id"], index["id"], audit["id"])


def assert_drawn_without_barrier(page: Page) -> None:
    page.wait_for_function(DRAWN)
    assert_without_barrier(page)


def test_a_data_set_and_an_audit_show_their_pictures(page: Page, pictures: Pictures) -> None:
    for path, held in ((f"datasets/{pictures.dataset_id}", ".pictures img"), (f"audits/{pictures.audit_id}", "td img")):
        open_view(page, f"/ui/{path}")
        assert_drawn_without_barrier(page)
        assert page.locator(held).count() == ROWS
        assert str(page.locator("main img").first.get_attribute("src")).startswith("blob:")


def test_a_picture_that_is_sent_is_asked_about(page: Page, pictures: Pictures, tmp_path: Path) -> None:
    (tmp_path / "asked.png").write_bytes(png_bytes(draw_image(99, (40, 40))))
    open_view(page, f"/ui/indexes/{pictures.index_id}/trace")
    page.get_by_role("button", name="Typed").click()
    page.get_by_label("Image").set_input_files(tmp_path / "asked.png")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_selector("html[data-answered]")
    expect(page.locator(".asked img")).to_have_count(1)
    assert page.locator(".side .row img").count() > 0
    assert_drawn_without_barrier(page)
    page.locator(".side .row").first.press("Enter")
    expect(page.get_by_role("dialog").locator("img")).to_have_count(1)


def test_a_review_of_pictures_ends_in_a_cleaned_data_set(
    page: Page, story: Story, pictures: Pictures, tmp_path: Path
) -> None:
    open_view(page, f"/ui/audits/{pictures.audit_id}")
    page.get_by_role("button", name="Review these rows").click()
    page.wait_for_selector(".review-card img")
    assert_drawn_without_barrier(page)
    for key in ("q", "e", "1"):
        page.keyboard.press(key)
    expect(page.locator(".review-head")).to_contain_text(f"3 of {ROWS} decided")
    expect(page.get_by_role("button", name="To Label Studio")).to_have_count(0)
    with page.expect_download() as handed:
        page.get_by_role("button", name="Download CSV").click()
    handed.value.save_as(tmp_path / "review.csv")
    assert ".png" in (tmp_path / "review.csv").read_text().splitlines()[1]
    page.get_by_role("button", name="Make the cleaned data set").click()
    expect(page.locator("main")).to_contain_text("1 removed")
    page.wait_for_function(DRAWN)
    derived = page.url.split("/ui/datasets/")[1].split("?")[0]
    kept: dict[str, Any] = story.service.get(f"/v1/datasets/{derived}")
    assert (kept["kind"], kept["rows"]) == ("image_classification", ROWS - 1)
