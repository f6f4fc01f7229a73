"""Archives of images as other machines and trainers make them: what is read of them, passed over, refused and told."""

import base64
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.uploads.images import draw_image, file_bytes, make_image_zip, png_bytes

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError, UnsafeArchive
from influence.rows.file import RowFile

ONE, TWO = (png_bytes(draw_image(seed)) for seed in (1, 2))


def accept(path: Path, **options: Any) -> tuple[Dataset, list[dict[str, Any]]]:
    dataset = accept_dataset(path, limits=TableLimits(), destination_root=path.parent / "datasets", **options)
    with RowFile(path.parent / "datasets" / dataset.id) as file:
        return dataset, list(file)


def send(tmp_path: Path, members: dict[str, bytes], **options: Any) -> tuple[Dataset, list[dict[str, Any]]]:
    return accept(make_image_zip(tmp_path / "a.zip", members), **options)


def refused(tmp_path: Path, members: dict[str, bytes], **options: Any) -> DatainfError:
    with pytest.raises(DatainfError) as caught:
        send(tmp_path, members, **options)
    return caught.value


def files_not_read(dataset: Dataset) -> tuple[str, ...]:
    return next((problem.names for problem in dataset.problems if problem.code == "files_not_read"), ())


def test_copies_that_notebooks_and_macos_leave_are_no_images_of_a_class(tmp_path: Path) -> None:
    hidden = {"cat/.ipynb_checkpoints/1-checkpoint.png": ONE, "cat/._1.png": b"\0\5\x16\7", ".DS_Store": b"x"}
    dataset, rows = send(tmp_path, {"cat/1.png": ONE, "dog/2.png": TWO, "__MACOSX/cat/._1.png": b"\0\5", **hidden})
    assert [row["label"] for row in rows] == ["cat", "dog"]
    assert files_not_read(dataset) == ("cat/.ipynb_checkpoints/1-checkpoint.png",)


def test_images_of_other_formats_are_refused_and_not_left_out(tmp_path: Path) -> None:
    error = refused(tmp_path, {"cat/1.png": ONE, "dog/2.png": TWO, "dog/3.BMP": b"BM"})
    assert (error.code, error.extra["files"]) == ("unsupported_format", ["dog/3.BMP"])
    assert refused(tmp_path, {"cat/1.gif": b"GIF89a"}).extra["files"] == ["cat/1.gif"]
    members = {"train/cat/1.png": ONE, "train/dog/2.png": TWO, "test/cat/3.tif": b"II*\0", "test/cat/4.png": ONE}
    assert len(send(tmp_path, members, split="train")[1]) == 2


def test_every_ending_of_jpeg_is_read(tmp_path: Path) -> None:
    jpeg = file_bytes(draw_image(1), "JPEG")
    _, rows = send(tmp_path, {"a/1.jfif": jpeg, "a/2.jpe": jpeg, "b/3.JPEG": jpeg})
    assert len(rows) == 3


def test_files_that_may_say_what_images_are_are_told_of_where_they_are_not_read(tmp_path: Path) -> None:
    dataset, _ = send(tmp_path, {"cat/1.png": ONE, "dog/2.png": TWO, "captions.csv": b"file,text\n"})
    assert files_not_read(dataset) == ("captions.csv",)


@pytest.mark.parametrize("beside", ["train.csv", "labels.json", "images/1.cls", "data.parquet"])
def test_one_folder_of_images_is_no_class_where_a_file_beside_it_may_say_what_they_are(
    tmp_path: Path, beside: str
) -> None:
    for folder in ("images/", ""):
        images = {f"{folder}1.png": ONE, f"{folder}2.png": TWO}
        error = refused(tmp_path, {**images, beside: b"id,label\n1,cat\n2,dog\n"})
        assert beside.rsplit("/")[-1] in error.detail
        assert error.hint is not None
        assert "metadata.csv" in error.hint
    described = {"metadata.csv": b"file_name,label\nimages/1.png,cat\nimages/2.png,dog\n"}
    _, rows = send(tmp_path, {"images/1.png": ONE, "images/2.png": TWO, **described})
    assert [row["label"] for row in rows] == ["cat", "dog"]
    assert len(send(tmp_path, {"images/1.png": ONE, "images/2.png": TWO})[1]) == 2


def test_a_caption_beside_each_image_is_its_text(tmp_path: Path) -> None:
    captions = {"10_ink/1.txt": "\ufeffa castle, ink\n".encode(), "10_ink/2.caption": b"a boat"}
    dataset, rows = send(tmp_path, {"10_ink/1.png": ONE, "10_ink/2.png": TWO, **captions})
    assert dataset.kind == "image_caption"
    assert [(row["text"], row["metadata"]["folder"]) for row in rows] == [
        ("a castle, ink", "10_ink"),
        ("a boat", "10_ink"),
    ]
    by_folder, rows = send(
        tmp_path, {"x/1.png": ONE, "x/1.txt": b"0 0.5"}, columns={"image": "image", "label": "folder"}
    )
    assert (by_folder.kind, rows[0]["label"]) == ("image_classification", "x")


@pytest.mark.parametrize(
    ("caption", "said"),
    [(None, "no caption file"), (b"one\ntwo", "has 2 lines"), (b"caf\xe9", "not UTF-8")],
)
def test_captions_that_training_may_have_read_otherwise_are_refused(
    tmp_path: Path, caption: bytes | None, said: str
) -> None:
    members = {"x/1.png": ONE, "x/1.txt": b"a boat", "x/2.png": TWO}
    error = refused(tmp_path, members | ({} if caption is None else {"x/2.txt": caption}))
    assert said in error.detail


def test_metadata_beside_the_folders_of_splits_speaks_of_each_of_them(tmp_path: Path) -> None:
    lines = b"file_name,text\ntest/2.png,b\ntrain/1.png,a\n"
    members = {"train/1.png": ONE, "test/2.png": TWO, "metadata.csv": lines}
    assert refused(tmp_path, members).extra["splits"] == ["test", "train"]
    _, rows = send(tmp_path, members, split="train")
    assert [(row["text"], row["metadata"]["file_name"]) for row in rows] == [("a", "train/1.png")]
    wrong = {**members, "metadata.csv": lines + b"test/9.png,c\n"}
    assert "'test/9.png'" in refused(tmp_path, wrong, split="train").detail


@pytest.mark.parametrize("written", ["./caf\u00e9/1.png", "caf\u00e9\\1.png", "cafe\u0301/1.png"])
def test_metadata_names_a_file_with_either_slash_and_either_form_of_a_letter(tmp_path: Path, written: str) -> None:
    line = json.dumps({"file_name": written, "text": "a boat"}).encode()
    _, rows = send(tmp_path, {"cafe\u0301/1.png": ONE, "metadata.jsonl": line})
    assert rows[0]["text"] == "a boat"


def test_names_of_windows_and_names_that_differ_by_case_are_read(tmp_path: Path) -> None:
    _, rows = send(tmp_path, {"A\\1.png": ONE, "a\\1.png": TWO})
    assert [row["label"] for row in rows] == ["A", "a"]
    assert refused(tmp_path, {"..\\x\\1.png": ONE}).code == "unsafe_archive"
    assert refused(tmp_path, {"C:\\x\\1.png": ONE}).code == "unsafe_archive"


def test_a_file_that_is_there_twice_is_refused_with_a_hint_for_images(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/1.png", ONE)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x/1.png", TWO)
    with pytest.raises(UnsafeArchive) as caught:
        accept(tmp_path / "a.zip")
    assert "images" in str(caught.value.hint)


def test_utf8_that_does_not_say_so_is_read_as_what_it_is(tmp_path: Path) -> None:
    make_image_zip(tmp_path / "a.zip", {"cafXX/1.png": ONE, "dog/2.png": TWO})
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"cafXX/1.png", "caf\u00e9/1.png".encode()))
    _, rows = accept(tmp_path / "a.zip")
    assert [row["label"] for row in rows] == ["caf\u00e9", "dog"]


PLAIN = base64.b64encode(ONE).decode()


@pytest.mark.parametrize(
    "written",
    [
        base64.encodebytes(ONE).decode(),
        f"data:image/jpg;base64,{PLAIN}",
        f"DATA:image/PNG;charset=utf-8;base64,{PLAIN}",
        f"data:application/octet-stream;base64,{PLAIN}",
        base64.urlsafe_b64encode(ONE).decode().rstrip("="),
        {"bytes": list(ONE)},
        {"bytes": PLAIN, "path": "1.png", "width": 16},
    ],
)
def test_base64_is_read_however_it_is_written(tmp_path: Path, written: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"image": PLAIN, "label": "a"}, {"image": written, "label": "b"}]))
    _, rows = accept(tmp_path / "a.json", columns={"image": "image", "label": "label"})
    assert rows[0]["image"] == rows[1]["image"]


def test_an_address_is_not_fetched_and_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"image": "https://example.org/1.png", "label": "a"}]))
    with pytest.raises(DatainfError, match="the address of an image"):
        accept(tmp_path / "a.json")


def test_columns_of_webdataset_are_found_and_its_archive_is_called_what_it_is(tmp_path: Path) -> None:
    pq.write_table(pa.table({"jpg": [{"bytes": ONE, "path": None}], "txt": ["a boat"]}), tmp_path / "a.parquet")
    assert accept(tmp_path / "a.parquet")[0].kind == "image_caption"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("1.jpg")
        member.size = len(ONE)
        archive.addfile(member, io.BytesIO(ONE))
    with pytest.raises(DatainfError, match="a tar archive"):
        accept(tmp_path / "a.tar")
    (tmp_path / "a.png").write_bytes(ONE)
    with pytest.raises(DatainfError, match="one image"):
        accept(tmp_path / "a.png")


def test_several_labels_of_an_image_ask_for_the_one_that_counts(tmp_path: Path) -> None:
    table = {"img": [{"bytes": ONE, "path": None}], "fine_label": [1], "coarse_label": [0]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(DatainfError) as caught:
        accept(tmp_path / "a.parquet")
    assert '"image": "<column>", "label": "<column>"' in str(caught.value.hint)
    assert accept(tmp_path / "a.parquet", columns={"image": "img", "label": "fine_label"})[1][0]["label"] == 1
