"""Values of a finished index in files: page by page, checked, and no others than its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from influence.errors import FilesUnavailable
from influence.store import keys
from influence.store.data.files import Files
from influence.store.data.sealed import seal
from influence.store.data.vault.index_values import (
    PAGE_BYTES,
    TABLE,
    VALUES,
    IndexValues,
    Page,
    StoredValue,
    ValueTable,
)
from influence.store.data.vault.object_store import ObjectVault

BUILD = "idx_1.job_1"
LARGE = os.urandom(7 << 20)


def key(shard: int, part: str = "values") -> str:
    return keys.row_state(BUILD, shard, part, 0)


@pytest.fixture(params=["data directory", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "data directory":
        return Files(tmp_path / "data")
    return Files(tmp_path / "data", ObjectVault(request.getfixturevalue("bucket").url), cache_bytes=1 << 30)


@pytest.fixture
def values(files: Files) -> IndexValues:
    return files.indexes


def test_values_come_back_with_those_beside_them(values: IndexValues, files: Files) -> None:
    written = {key(0): LARGE, key(0, "norms"): b"", key(1): LARGE[::-1], key(2): b"small", key(3): LARGE}
    assert values.write(BUILD, iter(written.items()), {"0": "commit"}, {"part": "shape"}) == sum(
        map(len, written.values())
    )
    table = values.table(BUILD)
    assert table is not None
    assert (table.commits, table.manifest) == ({"0": "commit"}, {"part": "shape"})
    first, second = values.page(BUILD, key(1)), values.page(BUILD, key(3))
    assert {**first, **second} == written
    assert sum(map(len, first.values())) <= PAGE_BYTES
    assert values.page(BUILD, key(4)) == {}
    assert values.page("idx_1.job_2", key(1)) == {}
    assert list((files.root / "tmp").iterdir()) == []


def test_a_page_is_read_once_and_is_at_hand_afterwards(values: IndexValues) -> None:
    values.write(BUILD, iter({key(0): b"first", key(1): b"second"}.items()), {}, {})
    heard: list[Page] = []
    assert values.page_at_hand(BUILD, key(1)) == {}
    for number in (0, 1, 0):
        values.page(BUILD, key(number), heard.append)
    assert heard == [{key(0): b"first", key(1): b"second"}]
    assert values.page_at_hand(BUILD, key(1)) == heard[0]
    values.remove(BUILD)
    assert values.page_at_hand(BUILD, key(1)) == {}


def test_what_cannot_be_read_whole_is_not_kept(values: IndexValues, files: Files) -> None:
    def lost() -> Iterator[tuple[str, bytes]]:
        yield key(0), b"there"
        raise LookupError("the second is lost")

    with pytest.raises(LookupError):
        values.write(BUILD, lost(), {}, {})
    assert values.table(BUILD) is None
    assert values.folders.builds() == []
    assert list((files.root / "tmp").iterdir()) == []


def test_what_is_removed_is_gone_and_other_builds_are_not(values: IndexValues) -> None:
    for build in (BUILD, "idx_1.job_2", "idx_11.job_1"):
        values.write(build, [(keys.row_state(build, 0, "values", 0), b"1")], {}, {})
    values.remove("idx_1", spared="idx_1.job_2")
    assert values.folders.builds() == ["idx_1.job_2", "idx_11.job_1"]
    assert values.table(BUILD) is None
    values.remove("idx_1.job_2")
    values.remove("idx_1.job_2")  # again harms nobody
    assert values.folders.builds() == ["idx_11.job_1"]


def test_a_damaged_value_is_not_handed_out_and_its_neighbours_are(tmp_path: Path) -> None:
    values = Files(tmp_path / "data").indexes
    values.write(BUILD, [(key(0), b"first"), (key(1), b"second")], {}, {})
    path = tmp_path / "data" / "indexes" / BUILD / VALUES
    path.write_bytes(b"fIrst" + path.read_bytes()[5:])
    assert Files(tmp_path / "data").indexes.page(BUILD, key(0)) == {key(1): b"second"}
    path.write_bytes(b"first")  # cut off
    assert Files(tmp_path / "data").indexes.page(BUILD, key(0)) == {key(0): b"first"}


@pytest.mark.parametrize(
    "name", ["datainf:index:idx_2", keys.row_state("idx_2.job_1", 0, "values", 0), f"{key(0)}:x", key(0) + "\n"]
)
def test_a_table_that_names_what_is_not_the_build_s_is_refused(tmp_path: Path, name: str) -> None:
    values = Files(tmp_path / "data").indexes
    values.write(BUILD, [(name, b"1")], {}, {})
    assert values.table(BUILD) is None
    assert values.page(BUILD, name) == {}


@pytest.mark.parametrize(
    "table",
    [
        ValueTable(build="idx_2.job_1", values=(), commits={}, manifest={}),
        ValueTable(build=BUILD, values=(StoredValue(key=key(0), start=9, bytes=1, crc32=0),), commits={}, manifest={}),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, table: ValueTable) -> None:
    values = Files(tmp_path / "data").indexes
    values.write(BUILD, [(key(0), b"1")], {}, {})
    (tmp_path / "data" / "indexes" / BUILD / TABLE).write_text(seal(table.model_dump_json()))
    assert Files(tmp_path / "data").indexes.table(BUILD) is None


def test_a_table_whose_digit_flipped_is_refused(tmp_path: Path) -> None:
    Files(tmp_path / "data").indexes.write(BUILD, [(key(0), b"1")], {}, {})
    path = tmp_path / "data" / "indexes" / BUILD / TABLE
    path.write_text(path.read_text().replace('"bytes":1', '"bytes":0'))
    assert Files(tmp_path / "data").indexes.table(BUILD) is None


def test_folders_move_to_an_object_store_that_is_named_later(vault: ObjectVault, tmp_path: Path) -> None:
    Files(tmp_path / "data").indexes.write(BUILD, [(key(0), b"1")], {}, {})
    files = Files(tmp_path / "data", vault, cache_bytes=1 << 30)
    assert [folder.name for folder in files.publish_missing()] == [BUILD]
    assert list((tmp_path / "data" / "indexes").iterdir()) == []
    assert files.indexes.page(BUILD, key(0)) == {key(0): b"1"}


def test_a_store_without_an_answer_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    vault = ObjectVault(f"file://{tmp_path / 'shared'}")
    values = Files(tmp_path / "data", vault, cache_bytes=1).indexes
    values.write(BUILD, [(key(0), b"1")], {}, {})
    (tmp_path / "shared").rename(tmp_path / "gone")
    (tmp_path / "shared").write_bytes(b"no folder")
    with pytest.raises(FilesUnavailable):
        Files(tmp_path / "other", vault, cache_bytes=1).indexes.page(BUILD, key(0))


def test_values_of_this_machine_are_read_to_their_places_and_no_others_are(tmp_path: Path) -> None:
    values = Files(tmp_path / "data").indexes
    values.write(BUILD, [(key(0), b"first"), (key(1), b"second"), (key(2), b"third"), (key(3), b"4th")], {}, {})
    places = {key(number): bytearray(size) for number, size in enumerate((5, 6, 4, 3, 5))}  # two of other lengths

    def fill() -> set[str]:
        for place in places.values():
            place[:] = bytes(len(place))
        cut = {name: [memoryview(place)[:2], memoryview(place)[2:]] for name, place in places.items()}
        return values.fill(BUILD, cut)

    assert fill() == {key(0), key(1), key(3)}
    assert list(places.values()) == [b"first", b"second", bytes(4), b"4th", bytes(5)]
    path = tmp_path / "data" / "indexes" / BUILD / VALUES
    path.write_bytes(b"firstsecondthird4t")  # cut off
    assert fill() == {key(0), key(1)}
    path.unlink()
    assert fill() == set()
