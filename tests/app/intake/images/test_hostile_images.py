"""Whatever claims to be an image is refused by its row, or taken as the pixels that it shows and nothing else."""

import io
import os
import stat
import zipfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from PIL import Image
from support.uploads.hostile_images import (
    Hostile,
    bombs,
    lies,
    modes,
    other_formats,
    polyglots,
    turned,
)
from support.uploads.images import draw_image, file_bytes, make_image_zip, png_bytes

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.errors import DatainfError
from influence.rows.file import RowFile
from influence.rows.images.store import images_beside

CORPUS = [*chain(bombs(), lies(), modes(), polyglots(), other_formats())]


def send(path: Path) -> tuple[list[Image.Image], tuple[str, ...]]:
    """The images of an accepted archive, and the codes of its problems."""
    dataset = accept_dataset(path, limits=TableLimits(), destination_root=path.parent / "datasets")
    with RowFile(path.parent / "datasets" / dataset.id) as file:
        images = [images_beside(path.parent / "datasets").open(row["image"]) for row in file]
    return images, tuple(problem.code for problem in dataset.problems)


def kept_files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*.png") if file.name != "a.zip"]


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
def test_a_hostile_image_is_refused_by_its_row_or_becomes_plain_pixels(tmp_path: Path, hostile: Hostile) -> None:
    path = make_image_zip(tmp_path / "a.zip", {"a/0.png": png_bytes(draw_image(7)), "b/1.png": hostile.content})
    if hostile.said is None:
        images, _ = send(path)
        assert [image.mode for image in images] == ["RGB", "RGB"]
        assert not any(b"polyglot" in file.read_bytes() for file in kept_files(tmp_path))
        return
    with pytest.raises(DatainfError) as caught:
        send(path)
    assert (caught.value.code, caught.value.extra["row_index"]) == ("broken_row", 1)
    assert hostile.said in caught.value.detail
    assert "'b/1.png'" in caught.value.detail
    assert not kept_files(tmp_path)


def test_a_refusal_that_is_kept_keeps_no_file_open(tmp_path: Path) -> None:
    path = make_image_zip(tmp_path / "a.zip", {"a/0.png": png_bytes(draw_image(7)), "b/1.png": b"no image"})
    with pytest.raises(DatainfError) as kept:
        send(path)
    opened = [os.readlink(descriptor) for descriptor in Path("/proc/self/fd").iterdir() if descriptor.exists()]
    assert str(path) not in opened
    assert kept.value.code == "broken_row"


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    refused = [hostile for hostile in CORPUS if hostile.said is not None]
    assert len(list(other_formats())) >= 20
    assert (len(CORPUS) > 60, len(refused) > 45) == (True, True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright_however_the_camera_was_held(tmp_path: Path, orientation: int) -> None:
    images, _ = send(make_image_zip(tmp_path / "a.zip", {"a/1.png": turned(orientation), "b/2.png": turned(1)}))
    assert images[0].tobytes() == images[1].tobytes() == draw_image(1, (24, 16)).tobytes()


def test_transparent_pixels_are_said_to_be_read_as_opaque(tmp_path: Path) -> None:
    solid, clear = draw_image(1).convert("RGBA"), draw_image(2).convert("RGBA")
    clear.putalpha(100)
    _, problems = send(make_image_zip(tmp_path / "a.zip", {"a/1.png": file_bytes(solid), "b/2.png": png_bytes(solid)}))
    assert "alpha_left_out" not in problems
    images, problems = send(make_image_zip(tmp_path / "b.zip", {"a/1.png": file_bytes(clear), "b/2.png": turned(1)}))
    assert "alpha_left_out" in problems
    assert images[0].tobytes() == draw_image(2).tobytes()


def _link(archive: zipfile.ZipFile) -> None:
    linked = zipfile.ZipInfo("a/1.png")
    linked.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(linked, "/etc/passwd")


def _twice(archive: zipfile.ZipFile) -> None:
    for name in ("a/1.png", "a\\1.png"):
        archive.writestr(name, png_bytes(draw_image(1)))


def _many(archive: zipfile.ZipFile) -> None:
    for number in range(100_000):
        archive.writestr(f"a/{number}.png", b"")


def _long_names(archive: zipfile.ZipFile) -> None:
    for number in range(20_000):
        archive.writestr(f"{'a' * 1000}/{number}.png", b"")


def _expanding(archive: zipfile.ZipFile) -> None:
    archive.writestr("a/1.png", bytes(33 << 20), zipfile.ZIP_DEFLATED)


def _outside(archive: zipfile.ZipFile) -> None:
    archive.writestr("a/../../1.png", png_bytes(draw_image(1)))


ARCHIVES: list[tuple[Callable[[zipfile.ZipFile], None], str]] = [
    (_link, "unsafe_archive"),
    (_twice, "unsafe_archive"),
    (_many, "unsafe_archive"),
    (_long_names, "too_large"),
    (_expanding, "broken_row"),
    (_outside, "unsafe_archive"),
]


@pytest.mark.parametrize(("fill", "code"), ARCHIVES, ids=lambda value: getattr(value, "__name__", value))
def test_a_hostile_archive_of_images_is_refused(
    tmp_path: Path, fill: Callable[[zipfile.ZipFile], None], code: str
) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        fill(archive)
    (tmp_path / "a.zip").write_bytes(content.getvalue())
    with pytest.raises(DatainfError) as caught:
        send(tmp_path / "a.zip")
    assert caught.value.code == code
    assert caught.value.hint
    assert not kept_files(tmp_path)
