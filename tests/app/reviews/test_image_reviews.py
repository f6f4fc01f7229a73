"""Reviews of rows with images: decided, exported with the images, applied to a data set of its own."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.stories.reviewing import Reviewing
from support.uploads.images import draw_image, make_image_zip, png_bytes

from influence.rows.images.content import digest_image
from influence.store.data.files import Files


@pytest.fixture
def dataset(client: TestClient, tmp_path: Path) -> dict[str, Any]:
    names = ("cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png")
    pictures = {name: png_bytes(draw_image(place)) for place, name in enumerate(names)}
    content = make_image_zip(tmp_path / "a.zip", pictures).read_bytes()
    return dict(client.post("/v1/datasets", files={"file": ("a.zip", content)}).json())


@pytest.fixture
def reviewing(client: TestClient, dataset: dict[str, Any]) -> Reviewing:
    review = client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()
    found = Reviewing(client, review["id"])
    found.decide({"row_index": 0, "action": "relabel", "label": "dog"}, {"row_index": 2, "action": "remove"})
    return found


def exported(reviewing: Reviewing, form: str, mode: str = "cleaned") -> bytes:
    answer = reviewing.client.get(f"{reviewing.path}/export?format={form}&mode={mode}")
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def test_tables_of_text_name_the_image_and_its_file(reviewing: Reviewing) -> None:
    lines = [json.loads(line) for line in exported(reviewing, "jsonl").splitlines()]
    assert [(line["label"], line["file_name"]) for line in lines] == [
        ("dog", "cat/1.png"),
        ("cat", "cat/2.png"),
        ("dog", "dog/4.png"),
    ]
    assert lines[0]["image"] == f"{digest_image(draw_image(0))}.png"
    cells = list(csv.DictReader(io.StringIO(exported(reviewing, "csv", "annotated").decode())))
    assert [cell["action"] for cell in cells] == ["relabel", "", "remove", ""]
    assert cells[0]["image"] == lines[0]["image"]


def test_parquet_carries_the_images_and_comes_back_in(
    client: TestClient, reviewing: Reviewing, files: Files, dataset: dict[str, Any]
) -> None:
    content = exported(reviewing, "parquet")
    table = pq.read_table(io.BytesIO(content))
    assert json.loads(table.schema.metadata[b"huggingface"])["info"]["features"] == {"image": {"_type": "Image"}}
    again = client.post("/v1/datasets", files={"file": ("cleaned.parquet", content)}).json()
    assert (again["kind"], again["rows"]) == ("image_classification", 3)
    rows = client.get(f"/v1/datasets/{again['id']}/rows").json()["data"]
    assert [row["row"]["label"] for row in rows] == ["dog", "cat", "dog"]
    assert files.images.open(rows[0]["row"]["image"]).tobytes() == draw_image(0).tobytes()


def test_a_derived_data_set_shares_the_images_and_keeps_them(
    client: TestClient, reviewing: Reviewing, files: Files, dataset: dict[str, Any]
) -> None:
    applied = reviewing.post("apply")
    assert len(list(files.images.root.rglob("*.png"))) == 4
    assert client.delete(reviewing.path).status_code == 204
    assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert len(list(files.images.root.rglob("*.png"))) == 3
    rows = client.get(f"/v1/datasets/{applied['dataset_id']}/rows").json()["data"]
    assert [row["row"]["label"] for row in rows] == ["dog", "cat", "dog"]
    assert client.get(f"/v1/datasets/{applied['dataset_id']}/rows/2/image").status_code == 200


def test_label_studio_is_not_offered_for_images(reviewing: Reviewing) -> None:
    for form in ("label-studio", "label-studio-config"):
        answer = reviewing.client.get(f"{reviewing.path}/export?format={form}")
        assert "parquet" in assert_problem(answer, 422, "invalid_request")["hint"]
