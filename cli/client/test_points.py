"""Test points as options name them: words with labels, JSON rows, a file, or rows of a stored data set."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client.files import open_file
from cli.options.fields import Options, Spelling
from cli.options.parsing import parse_object
from influence.contracts.common import Json
from influence.contracts.points import MAX_TEST_POINTS
from influence.errors import BrokenRow, InvalidRequest

_SOURCES_HINT = "Give --text with --label, --example, --file, or --dataset with --rows: one of them."
_SPAN = re.compile(r"^(\d{1,9}):(\d{1,9})$")
_RANGE = re.compile(r"^(\d{1,12})(?:-(\d{1,12}))?$")


def choose_source(
    *,
    text: Annotated[list[str] | None, typer.Option(help="Text of a test point; may be given again.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Its label, a name or a class number; one for each --text.")
    ] = None,
    example: Annotated[list[str] | None, typer.Option(help="A test point as a JSON row; may be given again.")] = None,
    file: Annotated[Path | None, typer.Option(help="Test points as JSONL; '-' reads standard input.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Test points from a stored data set (ds_...).")] = None,
    rows: Annotated[str | None, typer.Option(help="Which of its rows: 1,2,3 or 10-19; all when left out.")] = None,
) -> Json:
    """`{examples: ...}` or `{rows: ...}` from the options. Raises InvalidRequest, BrokenRow, UnreadableFile."""
    if sum([bool(text), bool(example), file is not None, dataset is not None]) != 1:
        raise InvalidRequest("There has to be exactly one source of test points.", hint=_SOURCES_HINT)
    if (label and not text) or (rows and dataset is None):
        raise InvalidRequest("--label goes with --text, --rows with --dataset.", hint=_SOURCES_HINT)
    if dataset is not None:
        return {"rows": {"dataset_id": dataset, **({"row_indexes": parse_rows(rows)} if rows else {})}}
    if text:
        return {"examples": pair(text, label or [])}
    if file is not None:
        return {"examples": read_examples(file)}
    return {"examples": [parse_object(row, f"--example {number}") for number, row in enumerate(example or [], 1)]}


_PARAMETERS = tuple(signature(choose_source).parameters.values())
#: The options of `choose_source`, to be added to a command.
POINTS = Options(
    _PARAMETERS, lambda written: choose_source(**{option.name: written[option.name] for option in _PARAMETERS})
)


def parse_target(text: str, _option: str) -> Any:
    """`3:12` -> characters of the answer; anything else is a target by name, which the contract checks."""
    span = _SPAN.match(text)
    return text if span is None else {"span": [int(span[1]), int(span[2])]}


#: How the fields that say where the loss falls are written.
TARGETS = {
    "target": Spelling(
        ("--target", "--span"), parse_target, help="label, prediction, or A:B: its characters from A up to B."
    ),
    "generation": Spelling(read=parse_object, help='Write JSON: {"seed": 1}.'),
}


def pair(texts: Sequence[str], labels: Sequence[str]) -> list[Json]:
    """Texts with their labels, in order; no labels at all is for `--target prediction`."""
    if not labels:
        return [{"text": text} for text in texts]
    if len(labels) != len(texts):
        raise InvalidRequest(
            f"There are {len(texts)} texts and {len(labels)} labels.", hint="Give one --label for each --text."
        )
    return [{"text": text, "label": parse_label(label)} for text, label in zip(texts, labels, strict=True)]


def parse_label(label: str) -> int | str:
    """A class number where it looks like one, else a name."""
    return int(label) if re.fullmatch(r"\d{1,9}", label) else label


def parse_rows(text: str) -> list[int]:
    """`1,2,10-12` -> [1, 2, 10, 11, 12]. Raises InvalidRequest."""
    indexes: list[int] = []
    for part in text.split(","):
        match = _RANGE.match(part.strip())
        if match is None:
            raise InvalidRequest(f"{part!r} is not a row index.", hint="Write --rows 1,2,3 or --rows 10-19.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= MAX_TEST_POINTS:
            raise InvalidRequest(
                f"{part!r} is not a range of at most {MAX_TEST_POINTS} rows.", hint="Write the smaller row first."
            )
        indexes.extend(range(first, last + 1))
    return indexes


def read_examples(file: Path) -> list[Json]:
    """The rows of a JSONL file, '-' for standard input. Raises BrokenRow with the line, UnreadableFile."""
    if str(file) == "-":
        return _parse_lines(sys.stdin.buffer, "standard input")
    with open_file(file, "file") as stream:
        return _parse_lines(stream, str(file))


def _parse_lines(lines: Iterable[bytes], what: str) -> list[Json]:
    rows: list[Json] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BrokenRow(
                f"Line {number} of {what} is not JSON: {error}.", hint="Write one object per line."
            ) from error
        if not isinstance(row, dict):
            raise BrokenRow(f"Line {number} of {what} is not a JSON object.", hint="Write one object per line.")
        if len(rows) == MAX_TEST_POINTS:
            raise InvalidRequest(
                f"{what} holds more than {MAX_TEST_POINTS} rows.",
                hint="Send them as a data set, then query with --dataset.",
            )
        rows.append(row)
    return rows
