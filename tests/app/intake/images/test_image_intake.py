"""Images as people bring them: in zips of folders, in Parquet, in base64."""

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.uploads.images import as_base64, draw_image, file_bytes, make_image_rows, make_image_zip, png_bytes

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError
from influence.rows.file import RowFile
from influence.rows.images.content import digest_image
from influence.rows.images.store import images_beside
from influence.store.data.files import Files


def accept(path: Path, **options: Any) -> Dataset:
    return accept_dataset(path, limits=TableLimits(), destination_root=path.parent / "datasets", **options)


def rows_of(path: Path, dataset: Dataset) -> list[dict[str, Any]]:
    with RowFile(path / "datasets" / dataset.id) as file:
        return list(file)


def opened(path: Path, row: dict[str, Any]) -> Image.Image:
    return images_beside(path / "datasets").open(row["image"])


def refused(path: Path, **options: Any) -> DatainfError:
    with pytest.raises(DatainfError) as caught:
        accept(path, **options)
    images, datasets = path.parent / "images", path.parent / "datasets"
    assert not [found for folder in (images, datasets) if folder.exists() for found in folder.rglob("*.png")]
    return caught.value


def test_folders_of_a_zip_are_the_classes_in_the_order_of_the_names(tmp_path: Path) -> None:
    pictures = {
        f"data/{label}/{place}.png": png_bytes(draw_image(place)) for label in ("dog", "cat") for place in (1, 2)
    }
    dataset = accept(make_image_zip(tmp_path / "a.zip", pictures))
    assert (dataset.kind, dataset.rows, dataset.format and dataset.format.name) == (
        "image_classification",
        4,
        "imagefolder",
    )
    rows = rows_of(tmp_path, dataset)
    assert [(row["label"], row["metadata"]["file_name"]) for row in rows] == [
        ("cat", "cat/1.png"),
        ("cat", "cat/2.png"),
        ("dog", "dog/1.png"),
        ("dog", "dog/2.png"),
    ]
    assert opened(tmp_path, rows[0]).tobytes() == draw_image(1).tobytes()
    assert rows[0]["image"] == {"digest": digest_image(draw_image(1)), "width": 16, "height": 16}
    assert dataset.statistics["images"] == 2
    assert [problem.code for problem in dataset.problems if problem.code == "conflicting_label"]


def test_nested_folders_are_classes_by_their_whole_names(tmp_path: Path) -> None:
    names = ("all/Greek/alpha/1.png", "all/Greek/beta/1.png", "all/Latin/alpha/1.png")
    dataset = accept(make_image_zip(tmp_path / "a.zip", {name: png_bytes(draw_image(1)) for name in names}))
    assert [row["label"] for row in rows_of(tmp_path, dataset)] == ["Greek/alpha", "Greek/beta", "Latin/alpha"]


@pytest.mark.parametrize("metadata", ["metadata.jsonl", "metadata.csv"])
def test_a_metadata_file_says_what_the_images_are(tmp_path: Path, metadata: str) -> None:
    lines = [{"file_name": f"x/{place}.png", "text": f"a shape, {place}", "style": "flat"} for place in (2, 1)]
    if metadata.endswith("csv"):
        text = "file_name,text,style\n" + "".join(f'{line["file_name"]},"{line["text"]}",flat\n' for line in lines)
    else:
        text = "".join(json.dumps(line) + "\n" for line in lines)
    pictures = {f"x/{place}.png": png_bytes(draw_image(place)) for place in (1, 2)}
    path = make_image_zip(tmp_path / "a.zip", {**pictures, metadata: text.encode()})
    dataset = accept(path)
    assert dataset.kind == "image_caption"
    first = rows_of(tmp_path, dataset)[0]
    assert first["text"] == "a shape, 2"
    assert first["metadata"] == {"file_name": "x/2.png", "style": "flat", "folder": "x"}
    with_class = accept(path, columns={"image": "image", "text": "text", "class": "style"})
    assert rows_of(tmp_path, with_class)[0]["class"] == "flat"
    by_folder = accept(path, columns={"image": "image", "label": "folder"})
    assert (by_folder.kind, rows_of(tmp_path, by_folder)[0]["label"]) == ("image_classification", "x")


def test_one_of_several_splits_has_to_be_named(tmp_path: Path) -> None:
    names = ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png")
    path = make_image_zip(tmp_path / "a.zip", {name: png_bytes(draw_image(1)) for name in names})
    error = refused(path)
    assert (error.code, error.extra["splits"]) == ("invalid_request", ["test", "train"])
    assert [row["label"] for row in rows_of(tmp_path, accept(path, split="train"))] == ["cat", "dog"]


def test_parquet_of_the_datasets_library_brings_images_and_names_of_classes(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    content = [{"bytes": png_bytes(draw_image(place)), "path": f"{place}.png"} for place in range(3)]
    table = pa.table({"image": content, "label": [0, 1, 0]}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    dataset = accept(tmp_path / "a.parquet")
    assert (dataset.kind, dataset.label_names) == ("image_classification", ("cat", "dog"))
    assert opened(tmp_path, rows_of(tmp_path, dataset)[2]).tobytes() == draw_image(2).tobytes()


def test_base64_in_json_is_the_same_image_as_its_file(tmp_path: Path) -> None:
    lines = [{"image": as_base64(draw_image(1)), "label": "cat"}, {"image": as_base64(draw_image(2)), "label": "dog"}]
    lines[1]["image"] = f"data:image/png;base64,{lines[1]['image']}"
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = rows_of(tmp_path, accept(tmp_path / "a.jsonl"))
    assert [row["image"]["digest"] for row in rows] == [digest_image(draw_image(seed)) for seed in (1, 2)]


def test_the_same_pixels_are_one_image_whatever_file_they_came_in(tmp_path: Path) -> None:
    image = draw_image(1)
    files = {
        "a/1.png": png_bytes(image),
        "a/2.webp": file_bytes(image, "WEBP", lossless=True),
        "a/3.png": file_bytes(image, "PNG", compress_level=0),
        "b/4.png": png_bytes(draw_image(2)),
    }
    dataset = accept(make_image_zip(tmp_path / "a.zip", files))
    assert dataset.statistics["images"] == 2
    assert len(list((tmp_path / "images").rglob("*.png"))) == 2


def test_a_table_of_texts_beside_pictures_is_read_where_the_columns_are_named(tmp_path: Path) -> None:
    rows = [{"text": "word", "y": place, "image": as_base64(draw_image(1))} for place in (0, 1)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = {"image": "", "label": "y", "text": "text"}
    assert accept(tmp_path / "a.jsonl", columns=named).kind == "classification"
    assert refused(tmp_path / "a.jsonl").code == "columns_ambiguous"


def test_a_class_and_a_caption_beside_an_image_are_told_apart_by_the_caller(tmp_path: Path) -> None:
    text = json.dumps({"file_name": "x/1.png", "text": "a shape", "label": "flat"})
    path = make_image_zip(tmp_path / "a.zip", {"x/1.png": png_bytes(draw_image(1)), "metadata.jsonl": text.encode()})
    error = refused(path)
    assert error.code == "columns_ambiguous"
    assert {"image": "image", "label": "label"} in error.extra["readings"]
    assert accept(path, columns={"image": "image", "text": "text", "class": "label"}).kind == "image_caption"


BAD_ZIPS: list[tuple[dict[str, bytes], str, str]] = [
    ({"1.png": png_bytes(draw_image(1)), "x/2.png": png_bytes(draw_image(2))}, "broken_row", "lies in no folder"),
    ({"x/1.png": b"GIF89a" + bytes(40)}, "broken_row", "Row 0: column 'image', 'x/1.png': the image is no PNG"),
    ({"x/readme.txt": b"hello"}, "unsupported_format", "holds no images"),
    ({"../x/1.png": png_bytes(draw_image(1))}, "unsafe_archive", "unsafe name"),
    (
        {"x/1.png": png_bytes(draw_image(1)), "metadata.jsonl": b'{"file_name": "x/2.png", "text": "a"}'},
        "unreadable_file",
        "no line in the metadata",
    ),
    (
        {"x/1.png": png_bytes(draw_image(1)), "metadata.jsonl": b'{"name": "x/1.png", "text": "a"}'},
        "unreadable_file",
        "no column 'file_name'",
    ),
    (
        {
            "x/1.png": png_bytes(draw_image(1)),
            "metadata.jsonl": b'{"file_name": "x/1.png", "text": "a"}\n{"file_name": "/etc/passwd", "text": "a"}',
        },
        "broken_row",
        "'/etc/passwd', which is not in the archive",
    ),
]


@pytest.mark.parametrize(("members", "code", "said"), BAD_ZIPS)
def test_a_zip_that_is_no_set_of_images_is_refused(
    tmp_path: Path, members: dict[str, bytes], code: str, said: str
) -> None:
    error = refused(make_image_zip(tmp_path / "a.zip", members))
    assert error.code == code
    assert said in error.detail


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("photos/1.png", "the text is no base64"),
        ({"bytes": None, "path": "1.png"}, "holds the image's path and not its bytes"),
        (None, "there is no image"),
        ("", "there is no image"),
        (3, "there is no image"),
    ],
)
def test_a_cell_without_an_image_is_refused_by_its_row(tmp_path: Path, image: Any, said: str) -> None:
    rows = [{"image": as_base64(draw_image(1)), "label": "a"}, {"image": image, "label": "b"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    error = refused(tmp_path / "a.json", columns={"image": "image", "label": "label"})
    assert (error.code, error.extra["row_index"]) == ("broken_row", 1)
    assert said in error.detail


def test_images_that_two_data_sets_have_stay_until_both_are_gone(tmp_path: Path) -> None:
    files = Files(tmp_path)
    first = accept_rows(tmp_path, make_image_rows(4))
    second = accept_rows(tmp_path, make_image_rows(4)[2:])
    files.remove_dataset(first.id)
    assert len(list(files.images.root.rglob("*.png"))) == 2
    assert all(files.images.open(row["image"]) for row in rows_of(tmp_path, second))
    files.remove_dataset(second.id)
    assert not list(files.images.root.rglob("*.png"))


def test_images_that_a_killed_process_left_without_a_list_are_swept(tmp_path: Path) -> None:
    files = Files(tmp_path)
    dataset = accept_rows(tmp_path, make_image_rows(2))
    with files.images.staging() as half_done:  # killed between the images and the rows that name them
        half_done.keep(draw_image(77))
        with files.images.locked():
            files.images.publish(half_done)
    deleted = accept_rows(tmp_path, make_image_rows(1, seed=5))
    shutil.rmtree(files.datasets / deleted.id)  # killed between the rows and the images that were theirs alone
    with files.images.staging() as coming:
        coming.keep(draw_image(78))
        assert files.sweep() == []  # as young as those of an upload that is at it
        for path in files.images.root.rglob("*.png"):
            os.utime(path, (0, 0))
        assert len(files.sweep()) == 2
        assert len(list(coming.folder.iterdir())) == 1
    assert all(files.images.open(row["image"]) for row in rows_of(tmp_path, dataset))
    assert len(list(files.images.root.rglob("*.png"))) == 2


def accept_rows(folder: Path, rows: list[dict[str, Any]]) -> Dataset:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return accept(path)


def test_a_damaged_image_is_found_and_comes_back_with_the_same_upload(tmp_path: Path) -> None:
    dataset = accept_rows(tmp_path, make_image_rows(2))
    row = rows_of(tmp_path, dataset)[0]
    place = images_beside(tmp_path / "datasets").path(row["image"]["digest"])
    place.write_bytes(png_bytes(draw_image(99)))
    with pytest.raises(DatainfError, match="damaged"):
        opened(tmp_path, row)
    place.unlink()
    with pytest.raises(DatainfError, match="not on this machine"):
        opened(tmp_path, row)
    accept_rows(tmp_path, make_image_rows(2))
    assert opened(tmp_path, row).size == (16, 16)


def test_the_image_kept_has_no_metadata_and_is_turned_as_exif_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a private remark"
    content = io.BytesIO()
    image.save(content, "PNG", exif=exif)
    dataset = accept(make_image_zip(tmp_path / "a.zip", {"x/1.png": content.getvalue(), "y/2.png": png_bytes(image)}))
    row = rows_of(tmp_path, dataset)[0]
    turned = opened(tmp_path, row)
    assert turned.size == (2, 4)
    assert turned.getpixel((1, 0)) == (255, 0, 0)
    kept = images_beside(tmp_path / "datasets").path(row["image"]["digest"]).read_bytes()
    assert b"private" not in kept
