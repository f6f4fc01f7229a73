"""How CSV and TSV files are written: delimiters, quotes, lines, encodings."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from app.intake.tables.limits import TableLimits
from app.intake.tables.opening import open_table
from app.intake.tables.table import Table
from influence.errors import DatainfError

LIMITS = TableLimits(max_bytes=1 << 20)


def opened(path: Path, content: str | bytes, name: str) -> Table:
    file = path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_table(file, limits=LIMITS)


def texts(table: Table) -> list[str]:
    return [row["text"] for row in table.rows(table.columns)]


def written(rows: list[str], **options: Any) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", **options)
    writer.writerow(["text", "label"])
    writer.writerows([text, 1] for text in rows)
    return buffer.getvalue()


TRICKY = ['say "hi"', "two\nlines", "a\ttab", '"all of it"', "plain", '"', "it's"]


@pytest.mark.parametrize("options", [{}, {"quoting": csv.QUOTE_ALL}, {"quoting": csv.QUOTE_NONNUMERIC}])
def test_consistent_quotes_in_a_tsv_frame_fields(tmp_path: Path, options: dict[str, Any]) -> None:
    table = opened(tmp_path, written(TRICKY, **options), "a.tsv")
    assert texts(table) == TRICKY
    assert table.format.quoting == "double"


@pytest.mark.parametrize(
    "rows",
    [
        ['"great stuff', "bad", 'so it ends"'],
        ['"a whole sentence."', "bad"],
        ['he said "hi"', '"quoted" word', '""', "x"],
        ['"', '"'],
        ['5" screen', '"it" is'],
        ["'single'", '"a" and "b"'],
    ],
)
def test_other_quotes_in_a_tsv_are_characters(tmp_path: Path, rows: list[str]) -> None:
    content = "text\tlabel\n" + "".join(f"{text}\t1\n" for text in rows)
    for name in ("a.tsv", "a.csv"):
        table = opened(tmp_path, content, name)
        assert texts(table) == rows
        assert (table.format.delimiter, table.format.quoting) == ("\t", "none")


def test_a_tsv_without_quotes_and_without_other_columns_is_read(tmp_path: Path) -> None:
    assert texts(opened(tmp_path, "text\na, b; c\n", "a.tsv")) == ["a, b; c"]


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_stray_quotes_that_melt_rows_together_are_refused(tmp_path: Path, delimiter: str) -> None:
    lines = ["text,label", '"great stuff,1', "bad,0", 'so it ends",1', "ok,0"]
    with pytest.raises(DatainfError, match="4 rows instead of 2") as caught:
        opened(tmp_path, "\n".join(lines).replace(",", delimiter), "a.csv")
    assert caught.value.extra["line"] == 4


def test_fields_that_span_lines_are_a_problem_that_is_shown(tmp_path: Path) -> None:
    table = opened(tmp_path, 'text,label\n"two\nlines",1\nx,0\n"a, b\nc, d, e",1\n', "a.csv")
    assert texts(table) == ["two\nlines", "x", "a, b\nc, d, e"]
    (problem,) = table.problems
    assert (problem.code, problem.count, problem.rows) == ("lines_joined", 2, (0, 2))
    assert "3 rows come from 5 lines" in problem.message
    assert "hold the delimiter there in 1" in problem.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_line_ends_make_no_difference(tmp_path: Path, encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    content = (mark + end.join(["text,label", "größer 語 🙂,1", '"a ""b""",0', ""])).encode(encoding)
    table = opened(tmp_path, content, "a.csv")
    assert texts(table) == ["größer 語 🙂", 'a "b"']
    assert table.columns == ["text", "label"]
    assert table.format.encoding == ("utf-16" if "16" in encoding else "utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\na,1\n".encode("utf-16-le"), "byte order mark"),
        ("text,label\na,1\n".encode("utf-32"), "UTF-32"),
        ("text,label\nä,1\n".encode("latin-1"), "not UTF-8"),
        (b"\xff\xfet\x00e\x00x\x00,\x00a\x00\n\x00\x00", "UTF-16"),
        (b"text,label\ra,1\rb,0\r", "line feeds"),
        (b"sep=;\r\ntext;label\r\na;1\r\n", "Excel"),
        (b"\xef\xbb\xbfSEP=,\ntext,label\na,1\n", "Excel"),
    ],
)
def test_encodings_and_line_ends_that_are_not_read_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DatainfError) as caught:
        texts(opened(tmp_path, content, "a.csv"))
    assert said in caught.value.detail + caught.value.hint


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ('{"text": "a"}\n', "a.csv", "JSON lines"),
        ('{"text": "a, b"}\n', "a.tsv", "JSON lines"),
        ('[{"text": "a"},\n{"text": "b"}]', "a.csv", "a JSON array"),
        ('[\n  {"text": "a"}\n]', "a.csv", "a JSON array"),
    ],
)
def test_json_under_the_name_of_a_csv_file_is_named(tmp_path: Path, content: str, name: str, said: str) -> None:
    with pytest.raises(DatainfError, match=said) as caught:
        opened(tmp_path, content, name)
    assert ".json" in caught.value.hint


def test_csv_under_the_name_of_json_lines_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatainfError) as caught:
        opened(tmp_path, "text,label\na,1\n", "a.jsonl")
    assert ".csv" in caught.value.hint


def test_columns_say_what_their_texts_are(tmp_path: Path) -> None:
    table = opened(tmp_path, "text,n,ok,at,id\na,1,true,2024-01-02,007\nb,,false,,1\n", "a.csv")
    assert table.text_types == {"n": "number", "ok": "boolean", "at": "time"}
    assert table.types["n"] == {"number"}
    assert table.types["id"] == {"text"}
