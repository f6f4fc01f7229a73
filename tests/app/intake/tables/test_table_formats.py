"""Every format gives the same rows; what is no table is refused with a code, a hint and a place."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.intake.tables.limits import TableLimits
from app.intake.tables.opening import open_table
from app.intake.tables.table import Table
from influence.errors import DatainfError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": 'one, "quoted"\nline', "label": 0},
    {"id": "b", "text": "größer 語 🙂", "label": 1},
    {"id": "c", "text": "x" * 300_000, "label": 1},
]
LIMITS = TableLimits(max_bytes=8 << 20, max_rows=5000, max_row_bytes=1 << 20, max_columns=20)


def read(path: Path, **options: Any) -> list[dict[str, Any]]:
    table = open_table(path, **{"limits": LIMITS, **options})
    return list(table.rows(table.columns))


def refused(path: Path, **options: Any) -> DatainfError:
    with pytest.raises(DatainfError) as caught:
        read(path, **options)
    assert caught.value.hint
    assert json.dumps(caught.value.problem()).encode()
    return caught.value


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def csv_of(rows: list[dict[str, Any]], **options: Any) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def lines_of(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def save_to_disk(folder: Path, rows: list[dict[str, Any]], files: int = 1, **state: Any) -> Path:
    """The folder that `datasets.Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True)
    features = {
        "label": {"names": ["ham", "spam"], "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    names = [f"data-{place:05d}-of-{files:05d}.arrow" for place in range(files)]
    for place, name in enumerate(names):
        table = pa.Table.from_pylist(rows[place::files]).replace_schema_metadata(metadata)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    state = {"_data_files": [{"filename": name} for name in names], "_split": None, **state}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def test_json_lines_are_read(tmp_path: Path) -> None:
    text = lines_of(ROWS)
    assert read(write(tmp_path / "a.jsonl", text)) == ROWS
    assert read(write(tmp_path / "noname", "\ufeff" + text.replace("\n", "\r\n\r\n").rstrip())) == ROWS


@pytest.mark.parametrize("options", [{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
def test_a_json_array_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    rows = ROWS * 9 + [{"nested": {"]": ["}", '\\"']}}]
    assert read(write(tmp_path / "a.json", "\n " + json.dumps(rows, **options) + "\n")) == rows


@pytest.mark.parametrize("options", [{}, {"delimiter": ";"}, {"delimiter": "\t"}, {"quoting": csv.QUOTE_ALL}])
def test_csv_is_read_whatever_its_delimiter(tmp_path: Path, options: dict[str, Any]) -> None:
    expected = [{**row, "label": str(row["label"])} for row in ROWS]
    path = write(tmp_path / "a.csv", "\ufeff" + csv_of(ROWS, **options))
    assert read(path) == expected
    assert open_table(path, limits=LIMITS).text_types is not None


def test_the_index_column_of_a_data_frame_gets_a_name(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", ",text\n0,a\n")) == [{"unnamed_0": "0", "text": "a"}]


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"use_dictionary": False}, {"row_group_size": 1}])
def test_parquet_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    rows = [{**row, "messages": [{"role": "user", "content": row["text"]}] * 2} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", **options)
    assert read(tmp_path / "a.parquet") == rows
    table = open_table(tmp_path / "a.parquet", limits=LIMITS)
    assert list(table.rows(["text"])) == [{"text": row["text"]} for row in rows]


def test_parquet_that_leaves_its_dictionary_halfway_is_read(tmp_path: Path) -> None:
    rows = [
        {"text": f"{place}" * 50, "messages": [{"role": "user", "content": f"{place}" * 99}]} for place in range(3000)
    ]
    pq.write_table(
        pa.Table.from_pylist(rows), tmp_path / "a.parquet", dictionary_pagesize_limit=20_000, row_group_size=1500
    )
    assert read(tmp_path / "a.parquet") == rows


def test_an_arrow_folder_is_read_in_its_own_order(tmp_path: Path) -> None:
    folder = save_to_disk(tmp_path / "saved", ROWS, files=2)
    assert read(folder) == [ROWS[0], ROWS[2], ROWS[1]]
    assert open_table(folder, limits=LIMITS).class_names == {"label": ("ham", "spam")}


def test_one_split_of_an_arrow_folder_is_read(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "all" / "train", ROWS[:1])
    save_to_disk(tmp_path / "all" / "test", ROWS[1:])
    write(tmp_path / "all" / "dataset_dict.json", '{"splits": ["train", "test"]}')
    assert read(tmp_path / "all", split="test") == ROWS[1:]
    assert refused(tmp_path / "all").extra["splits"] == ["train", "test"]
    assert refused(tmp_path / "all", split="..").code == "invalid_request"


def test_class_names_in_a_parquet_schema_are_found(tmp_path: Path) -> None:
    features = {
        "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
        "x": 5,
        "y": {"_type": "ClassLabel", "names": [1]},
    }
    for value, found in [(features, {"label": ("no", "yes")}), ([], {}), ("?", {})]:
        metadata = {"huggingface": json.dumps({"info": {"features": value}})}
        pq.write_table(pa.Table.from_pylist(ROWS).replace_schema_metadata(metadata), tmp_path / "a.parquet")
        assert open_table(tmp_path / "a.parquet", limits=LIMITS).class_names == found


GOOD = '{"text": "a", "label": 1}\n'
BROKEN_LINES = {
    "not JSON": "{text: 1}",
    "half a row": '{"text": "a"',
    "a list": "[1, 2]",
    "a number": "5",
    "NaN": '{"text": "a", "label": NaN}',
    "Infinity": '{"text": "a", "label": -Infinity}',
    "a field twice": '{"text": "a", "text": "b"}',
    "a huge int": '{"text": "a", "label": ' + "9" * 5000 + "}",
    "deep nesting": '{"text": ' + "[" * 200_000 + "]" * 200_000 + "}",
    "a control character": '{"text": "a\0b"}',
    "two rows": '{"text": "a"} {"text": "b"}',
}


@pytest.mark.parametrize("line", BROKEN_LINES.values(), ids=BROKEN_LINES.keys())
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    error = refused(write(tmp_path / "a.jsonl", GOOD * 40 + "\n" + line + "\n" + GOOD))
    assert (error.code, error.extra["line"]) == ("broken_row", 42)
    assert "42" in error.detail


def test_a_line_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "a.jsonl", GOOD.encode() + b'{"text": "\xff"}\n'))
    assert (error.code, error.extra["line"]) == ("broken_row", 2)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('[{"text": "a"},\n{"text": "b"}', "broken_row"),
        ('[{"text": "a"},\n{"text": "b"', "broken_row"),
        ('[{"text": "a"},\n]', "broken_row"),
        ('[{"text": "a"}\n{"text": "b"}]', "broken_row"),
        ('[{"text": "a"},\n5]', "broken_row"),
        ('[{"text": "a"}]\n{"text": "b"}', "broken_row"),
        ('[{"text": "a"},\n{"text": NaN}]', "broken_row"),
        ('[{"text": "a"},\n{"text": ' + "[" * 200_000 + "]}", "broken_row"),
        (b'[{"text": "a"},\n{"text": "\xff"}]', "broken_row"),
        ("[]", "empty_file"),
    ],
)
def test_a_broken_array_is_refused_at_its_line(tmp_path: Path, content: str | bytes, code: str) -> None:
    error = refused(write(tmp_path / "a.json", content))
    assert error.code == code
    assert code == "empty_file" or error.extra["line"] in (1, 2)


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        ("text,label\na,1\nb\n", "broken_row", 3),
        ("text,label\na,1,2\n", "broken_row", 2),
        ('text,label\n"a,1\nb,2\n', "broken_row", None),
        ('text,label\n"a"x,1\n', "broken_row", 2),
        ("text,text\na,b\n", "unreadable_file", None),
        (b"text,label\na,1\n\xff,2\n", "unreadable_file", 3),
        ("text,label\na,1\n".encode("utf-16-le"), "unreadable_file", None),
        ("text,label\n", "empty_file", None),
        ("\n\n", "empty_file", None),
    ],
)
def test_broken_csv_is_refused(tmp_path: Path, content: str | bytes, code: str, line: int | None) -> None:
    error = refused(write(tmp_path / "a.csv", content))
    assert error.code == code
    assert line is None or error.extra["line"] == line


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.jsonl", b"", "empty_file"),
        ("a.jsonl", b" \n\n ", "empty_file"),
        ("a.csv", b"\xef\xbb\xbf", "empty_file"),
        ("a.parquet", b"{}", "unreadable_file"),
        ("a.parquet", b"PAR1 no footer PAR1", "unreadable_file"),
        ("a.gz", b"\x1f\x8b\x08\x00", "unreadable_file"),
        ("a.xlsx", b"PK\x03\x04rest", "unsupported_format"),
        ("a.jsonl", b"\x80\x04\x95rest", "unsupported_format"),
        ("a.arrow", b"ARROW1\0\0", "unsupported_format"),
        ("a.txt", b"just some words", "unsupported_format"),
        ("a.bin", b"\0\1\2\3", "unsupported_format"),
        ("a.json", b"words", "broken_row"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    assert refused(write(tmp_path / name, content)).code == code


def test_a_path_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent.jsonl").code == "not_found"


def test_arrow_folders_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    outside = save_to_disk(tmp_path / "outside", ROWS)
    for place, name in enumerate(["../outside/data-00000-of-00001.arrow", "/etc/passwd", "..", "", 5, "absent.arrow"]):
        folder = save_to_disk(tmp_path / f"saved{place}", ROWS, _data_files=[{"filename": name}])
        assert refused(folder).code == "unreadable_file"
    folder = save_to_disk(tmp_path / "linked", ROWS, _data_files=[{"filename": "link.arrow"}])
    (folder / "link.arrow").symlink_to(outside / "data-00000-of-00001.arrow")
    assert refused(folder).code == "unreadable_file"


def test_folders_that_are_no_data_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty").code == "unsupported_format"
    assert (
        refused(save_to_disk(tmp_path / "selected", ROWS, _indices_data_files=[{"filename": "x"}])).code
        == "unsupported_format"
    )
    for place, state in enumerate(["[]", "{", "[" * 100_000, '{"_data_files": []}', '{"_data_files": [5]}']):
        folder = save_to_disk(tmp_path / f"broken{place}", ROWS)
        (folder / "state.json").write_text(state)
        assert refused(folder).code == "unreadable_file"
    folder = save_to_disk(tmp_path / "cut", ROWS)
    (file,) = folder.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:-2000])
    assert refused(folder).code == "unreadable_file"


def test_a_table_can_be_streamed_again(tmp_path: Path) -> None:
    table: Table = open_table(write(tmp_path / "a.jsonl", GOOD * 3), limits=LIMITS)
    assert len(list(table.rows(["text"]))) == len(list(table.rows(["text"]))) == 3


def test_a_split_that_is_not_there_is_refused_and_never_passed_over(tmp_path: Path) -> None:
    folder = save_to_disk(tmp_path / "saved", ROWS, _split="train")
    assert read(folder, split="train")
    assert refused(folder, split="test").code == "invalid_request"
    file = tmp_path / "train.jsonl"
    file.write_text('{"text": "a", "label": 1}\n')
    assert read(file, split="train")
    assert refused(file, split="test").code == "invalid_request"
