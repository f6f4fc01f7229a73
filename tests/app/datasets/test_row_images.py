"""Images of rows over HTTP: sent in, listed, shown as thumbnails, deleted."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.uploads.images import as_base64, draw_image, file_bytes, make_image_rows, make_image_zip, png_bytes

from influence.store.data.files import Files


def send(client: TestClient, rows: list[dict[str, Any]]) -> dict[str, Any]:
    content = "".join(json.dumps(row) + "\n" for row in rows)
    answer = client.post("/v1/datasets", files={"file": ("rows.jsonl", content)})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_zip_is_sent_and_its_rows_name_their_images(client: TestClient, tmp_path: Path) -> None:
    pictures = {f"train/{label}/1.png": png_bytes(draw_image(1)) for label in ("cat", "dog")}
    pictures["test/cat/2.png"] = png_bytes(draw_image(2))
    path = make_image_zip(tmp_path / "a.zip", pictures)
    files = {"file": ("a.zip", path.read_bytes())}
    unnamed = client.post("/v1/datasets", files=files)
    assert assert_problem(unnamed, 422, "invalid_request")["splits"] == ["test", "train"]
    dataset = client.post("/v1/datasets", files=files, data={"split": "train"}).json()
    page = client.get(f"/v1/datasets/{dataset['id']}/rows").json()
    assert [row["row"]["label"] for row in page["data"]] == ["cat", "dog"]
    assert page["data"][0]["metadata"] == {"file_name": "cat/1.png"}
    assert page["data"][0]["row"]["image"].keys() == {"digest", "width", "height"}


def test_thumbnails_are_scaled_down_and_never_what_was_sent(client: TestClient) -> None:
    large = file_bytes(draw_image(1, (400, 100)), "PNG")
    dataset = send(
        client, [{"id": "large", "image": as_base64(draw_image(1, (400, 100))), "label": "a"}, *make_image_rows(1)]
    )
    path = f"/v1/datasets/{dataset['id']}/rows"
    answer = client.get(f"{path}/0/image?size=64")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert opened(answer.content).size == (64, 16)
    assert opened(client.get(f"{path}/0/image").content).size == (256, 64)
    assert opened(client.get(f"{path}/1/image").content).size == (16, 16)
    assert large not in answer.content


def test_a_caller_who_has_a_thumbnail_is_told_so(client: TestClient) -> None:
    path = f"/v1/datasets/{send(client, make_image_rows(1))['id']}/rows/0/image"
    etag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(f"{path}?size=32", headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("size", ["15", "1025", "-1", "big"])
def test_sizes_have_bounds(client: TestClient, size: str) -> None:
    path = f"/v1/datasets/{send(client, make_image_rows(1))['id']}/rows/0/image"
    assert_problem(client.get(f"{path}?size={size}"), 422, "invalid_request")


def test_rows_without_images_and_rows_that_are_not_there_are_not_found(client: TestClient, dataset_id: str) -> None:
    body = assert_problem(client.get(f"/v1/datasets/{dataset_id}/rows/0/image"), 404, "not_found")
    assert f"/v1/datasets/{dataset_id}/rows" in body["hint"]
    images = send(client, make_image_rows(1))["id"]
    assert_problem(client.get(f"/v1/datasets/{images}/rows/1/image"), 404, "not_found")
    assert_problem(client.get("/v1/datasets/ds_none/rows/0/image"), 404, "not_found")


def test_images_go_with_their_data_set(client: TestClient, files: Files) -> None:
    dataset = send(client, make_image_rows(3))
    assert len(list(files.images.root.rglob("*.png"))) == 3
    assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert not list(files.images.root.rglob("*.png"))
