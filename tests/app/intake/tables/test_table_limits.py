"""Nothing expands past its limits, and no bytes break a reader."""

import json
import random
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.intake.tables.limits import FREE_ROW_GROUPS, MAX_BLANK_LINES, TableLimits
from app.intake.tables.opening import open_table
from influence.errors import DatainfError, TooLarge

LIMITS = TableLimits(max_bytes=1 << 20, max_rows=100, max_row_bytes=10_000, max_columns=10)


def read_all(path: Path, limits: TableLimits = LIMITS) -> int:
    table = open_table(path, limits=limits)
    return sum(1 for _ in table.rows(table.columns))


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps(rows))
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".csv")
    lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
    path.write_text("\n".join(lines))
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


WRITERS = [write_jsonl, write_json, write_csv, write_parquet]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([{"text": "a"}] * 101, "rows"),
        ([{"text": "a"}, {"text": "x" * 12_000}], "row"),
        ([{"text": "multi\n" * 3000}], "row"),
        ([{f"c{place}": "a" for place in range(11)}], "columns"),
        ([{"text": "abcdefghi" * 1000, "n": str(place)} for place in range(120)], "bytes"),
    ],
)
def test_each_limit_holds_in_each_format(
    tmp_path: Path, write: Callable[[Path, list[dict[str, Any]]], Path], rows: list[dict[str, Any]], what: str
) -> None:
    path = write(tmp_path / "a", rows)
    with pytest.raises(TooLarge) as caught:
        read_all(path)
    assert caught.value.code == "too_large"
    assert caught.value.extra["max_rows"] == 100
    assert caught.value.hint


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_blank_lines_without_end_are_refused_before_they_are_read(tmp_path: Path, name: str) -> None:
    first = b'{"text": "a"}\n' if name.endswith("jsonl") else b"text\na\n"
    (tmp_path / name).write_bytes(first + b"\n" * (2 * MAX_BLANK_LINES))
    limits = TableLimits()
    with pytest.raises(TooLarge, match="blank lines"):
        read_all(tmp_path / name, limits)
    (tmp_path / name).write_bytes(first + b"\n" * MAX_BLANK_LINES)
    assert read_all(tmp_path / name, limits) == 1


def test_space_between_rows_of_an_array_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"text": "a"}' + b" \n\t" * 200_000 + b',\n{"text": 1,}]')
    with pytest.raises(DatainfError) as caught:
        read_all(tmp_path / "a.json", TableLimits())
    assert caught.value.extra["line"] == 200_002


def test_row_groups_of_hardly_any_rows_are_refused(tmp_path: Path) -> None:
    rows = pa.table({"text": ["a"] * (FREE_ROW_GROUPS + 20)})
    for size, fits in ((1, False), (2, True)):
        pq.write_table(rows, tmp_path / "a.parquet", row_group_size=size)
        if fits:
            assert read_all(tmp_path / "a.parquet", TableLimits()) == len(rows)
        else:
            with pytest.raises(TooLarge, match="row groups"):
                read_all(tmp_path / "a.parquet", TableLimits())


@pytest.mark.parametrize("write", WRITERS)
def test_what_fits_exactly_is_taken(tmp_path: Path, write: Callable[[Path, list[dict[str, Any]]], Path]) -> None:
    assert read_all(write(tmp_path / "a", [{"text": "x" * 9000}] * 100)) == 100


def repeated_text(rows: int) -> pa.Table:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["A" * 1_000_000]))
    return pa.table({"text": text.cast(pa.dictionary(pa.int32(), pa.string()))})


def repeated_messages(rows: int) -> pa.Table:
    content = pa.DictionaryArray.from_arrays(pa.array([0] * rows * 10, pa.int32()), pa.array(["A" * 100_000]))
    messages = pa.StructArray.from_arrays([content], ["content"])
    return pa.table({"messages": pa.ListArray.from_arrays(pa.array(range(0, rows * 10 + 1, 10), pa.int32()), messages)})


@pytest.mark.parametrize("make", [repeated_text, repeated_messages])
def test_a_parquet_bomb_does_not_go_off(tmp_path: Path, make: Callable[[int], pa.Table]) -> None:
    path = tmp_path / "bomb.parquet"
    pq.write_table(make(10_000), path, compression="zstd")
    assert path.stat().st_size < 10_000
    limits = TableLimits(max_bytes=1 << 30, max_row_bytes=4 << 20)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    with pytest.raises(TooLarge):
        read_all(path, limits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    assert pa.default_memory_pool().max_memory() - before < 512 << 20


def test_a_parquet_file_of_one_huge_page_is_refused_unread(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["A" * 30_000_000]}), tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(TooLarge, match="when expanded"):
        read_all(tmp_path / "a.parquet")


OPENINGS = [
    b"",
    b"PAR1",
    b"[",
    b'[{"a": ',
    b'{"text": "',
    b"text,label\n",
    b"\xff\xfe",
    b"\xef\xbb\xbf{",
    b'a,"b\n',
]
ENDINGS = [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".bin", ""]


def test_random_bytes_raise_only_our_errors(tmp_path: Path) -> None:
    generator = random.Random(20)
    alphabet = b'{}[]",:\\\n\r\t 0123456789eE+-.truefalsnuxd8\0\xff\xc3\xa4'
    for place in range(1500):
        body = bytes(generator.choices(alphabet, k=generator.randrange(60)))
        path = tmp_path / f"f{place}{generator.choice(ENDINGS)}"
        path.write_bytes(generator.choice(OPENINGS) + body)
        with suppress(DatainfError):
            read_all(path)
        path.unlink()


@pytest.mark.parametrize("write", WRITERS)
def test_flipped_bits_raise_only_our_errors(
    tmp_path: Path, write: Callable[[Path, list[dict[str, Any]]], Path]
) -> None:
    generator = random.Random(21)
    rows = [{"text": f"row {place}", "label": place % 3} for place in range(20)]
    path = write(tmp_path / "a", rows)
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged[: generator.choice([len(damaged), generator.randrange(1, len(damaged))])])
        with suppress(DatainfError):
            read_all(path)
