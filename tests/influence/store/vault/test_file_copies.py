"""Machines that share nothing but an object store: what one keeps all find, under a bound, until it is deleted."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from influence.contracts.common import now
from influence.contracts.dataset import Dataset
from influence.errors import NotFound
from influence.rows.file import RowFile, write_rows
from influence.rows.images.store import write_list
from influence.store.data.files import Files
from influence.store.data.vault.object_store import ObjectVault
from influence.store.ending.copies import forget_removed
from influence.store.store import Store

Machine = Callable[..., Files]
GIB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Files of a machine of its own; nothing is in use there unless a test says so."""

    def make(name: str, *, cache_bytes: int = GIB, in_use_seconds: float = -1.0) -> Files:
        vault = ObjectVault(f"file://{tmp_path / 'shared'}")
        return Files(tmp_path / name, vault, cache_bytes=cache_bytes, in_use_seconds=in_use_seconds)

    return make


def keep_rows(files: Files, name: str, count: int = 3) -> str:
    write_rows(files.datasets / name, [{"text": f"{name} {number}", "label": 0} for number in range(count)])
    files.publish_dataset(name)
    return name


def keep_images(files: Files, name: str, *colours: str) -> list[dict[str, str]]:
    with files.images.staging() as staged:
        found = [staged.keep(Image.new("RGB", (4, 4), colour)) for colour in colours]
        with files.images.locked():
            files.images.publish(staged)
    write_rows(files.datasets / name, [{"image": image, "label": 0} for image in found])
    write_list(files.datasets / name, [image["digest"] for image in found])
    files.publish_dataset(name)
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def use_at(files: Files, name: str, seconds_ago: float) -> None:
    moment = time.time() - seconds_ago
    os.utime(files.datasets / name, (moment, moment))


def test_rows_of_one_machine_are_read_on_another(machine: Machine) -> None:
    name = keep_rows(machine("a"), "ds_1")
    other = machine("b")
    assert names(other.datasets) == set()
    with RowFile(other.dataset(name)) as rows:
        rows.verify()
        assert rows.read(0, 1)[0]["text"] == "ds_1 0"
    assert names(other.datasets) == {name}
    assert names(other.root / "tmp") == set()


def test_an_adapter_of_one_machine_is_read_on_another(machine: Machine) -> None:
    first = machine("a")
    for _ in range(2):  # the same again finds it kept
        with first.scratch() as scratch:
            (scratch / "adapter" / "tokenizer").mkdir(parents=True)
            (scratch / "adapter" / "weights").write_bytes(b"w")
            (scratch / "adapter" / "tokenizer" / "vocab").write_bytes(b"v")
            first.keep_adapter(scratch / "adapter", "abc")
    found = machine("b").adapter("abc")
    assert (found / "weights").read_bytes() + (found / "tokenizer" / "vocab").read_bytes() == b"wv"


def test_images_come_along_and_leave_with_the_last_data_set_that_has_them(machine: Machine) -> None:
    first = machine("a")
    images = keep_images(first, "ds_1", "red", "blue")
    keep_images(first, "ds_2", "blue")
    other = machine("b")
    for name in ("ds_1", "ds_2"):
        other.dataset(name)
    assert [other.images.open(image).getpixel((0, 0)) for image in images] == [(255, 0, 0), (0, 0, 255)]
    other.remove_dataset("ds_1")
    assert other.images.missing([image["digest"] for image in images]) == [images[0]["digest"]]


def test_what_nobody_keeps_is_not_found(machine: Machine) -> None:
    with pytest.raises(NotFound):
        RowFile(machine("a").dataset("ds_none"))


def test_the_least_used_leave_under_the_bound_and_come_back_when_asked_for(machine: Machine) -> None:
    first = machine("a")
    kept = [keep_rows(first, f"ds_{number}", 50) for number in range(4)]
    one = sum(path.stat().st_size for path in (first.datasets / "ds_0").iterdir())
    other = machine("b", cache_bytes=2 * one + one // 2)
    for place, name in enumerate(kept):
        other.dataset(name)
        use_at(other, name, 1000 - place)
    other.dataset(kept[0])
    assert len(names(other.datasets)) == 2
    assert kept[0] in names(other.datasets)
    with RowFile(other.dataset(kept[1])) as rows:
        assert len(rows) == 50


def test_what_is_in_use_stays_beyond_the_bound(machine: Machine) -> None:
    first = machine("a")
    kept = [keep_rows(first, f"ds_{number}") for number in range(3)]
    other = machine("b", cache_bytes=0, in_use_seconds=600.0)
    for name in kept:
        other.dataset(name)
    assert names(other.datasets) == set(kept)
    use_at(other, kept[1], 1000)
    other.dataset(keep_rows(first, "ds_more"))
    assert names(other.datasets) == {kept[0], kept[2], "ds_more"}


def test_what_only_this_machine_has_never_leaves_it_and_is_published(machine: Machine) -> None:
    files = machine("a", cache_bytes=0)
    write_rows(files.datasets / "ds_old", [{"text": "from before", "label": 0}])
    files.adapters.joinpath("abc").mkdir()
    files.adapters.joinpath("abc", "weights").write_bytes(b"w")
    keep_rows(files, "ds_new")
    assert "ds_old" in names(files.datasets)
    assert {folder.name for folder in files.publish_missing()} == {"ds_old", "abc"}
    assert files.publish_missing() == []
    other = machine("b")
    assert len(RowFile(other.dataset("ds_old"))) == 1
    assert (other.adapter("abc") / "weights").read_bytes() == b"w"


def test_what_was_deleted_on_one_machine_leaves_the_others(machine: Machine, store: Store) -> None:
    first, other = machine("a"), machine("b")
    for name in ("ds_1", "ds_2"):
        keep_rows(first, name)
        other.dataset(name)
    store.datasets.create(
        Dataset(id="ds_2", kind="classification", columns={}, rows=3, bytes=1, statistics={}, created_at=now())
    )
    first.remove_dataset("ds_1")
    assert names(first.datasets) == {"ds_2"}
    assert [folder.name for folder in forget_removed(store, other)] == ["ds_1"]
    assert names(other.datasets) == {"ds_2"}
    assert forget_removed(store, other) == []


def test_one_data_directory_forgets_nothing(tmp_path: Path, store: Store) -> None:
    files = Files(tmp_path)
    keep_rows(files, "ds_1")
    assert forget_removed(store, files) == []
    assert names(files.datasets) == {"ds_1"}


def test_all_machines_hash_keys_with_one_secret(machine: Machine) -> None:
    first, other = machine("a"), machine("b")
    assert first.secret() == other.secret() == machine("a").secret()
