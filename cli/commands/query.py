"""`datainf query`: from options to a request body, and to the service's answer."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from cli.client.files import open_file
from cli.client.job_events import require_success
from cli.client.service import Service, resource_path
from cli.commands.build import watch
from cli.options import given
from cli.printing.output import Output
from influence.contracts.common import Json
from influence.contracts.points import MAX_TEST_POINTS
from influence.contracts.query import Query, QueryRequest
from influence.errors import BrokenRow, InvalidRequest

#: Most queries are answered within milliseconds; the first on an index loads it.
_WAIT_SECONDS = 20
_SOURCES_HINT = "Give --text with --label, --example, --file, or --dataset with --rows: one of them."
_RANGE = re.compile(r"^(\d{1,12})(?:-(\d{1,12}))?$")


def ask(service: Service, index_id: str, body: Json, output: Output) -> Json:
    """The answered query as the service tells it. Raises what the service has to say."""
    path = f"/v1/indexes/{quote(index_id, safe='')}/queries"
    with output.busy("Asking"):
        made = service.post(path, body, headers={"Prefer": f"wait={_WAIT_SECONDS}"})
    query = Query.model_validate(made)
    if query.results is not None:
        return made
    require_success(watch(service, query.job_id, output))
    return service.get(resource_path(query.id) or f"/v1/queries/{query.id}")


def make_body(source: Json, settings: Json, model: type[BaseModel] = QueryRequest, command: str = "query") -> Json:
    """The request, a query's or another's, checked before it is sent. Raises InvalidRequest."""
    body = {**source, **given(settings)}
    check_body(model, body, command)
    return body


def check_body(model: type[BaseModel], body: Json, command: str) -> None:
    """Raise InvalidRequest with the first field that does not fit, before anything is sent."""
    try:
        model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(
            f"{where + ': ' if where else ''}{message}.", hint=f"See datainf {command} --help."
        ) from error


def choose_source(
    *,
    texts: Sequence[str],
    labels: Sequence[str],
    examples: Sequence[str],
    file: Path | None,
    dataset: str | None,
    rows: str | None,
) -> Json:
    """`{examples: ...}` or `{rows: ...}` from the options. Raises InvalidRequest, BrokenRow, UnreadableFile."""
    given = [bool(texts), bool(examples), file is not None, dataset is not None]
    if sum(given) != 1:
        raise InvalidRequest("There has to be exactly one source of test points.", hint=_SOURCES_HINT)
    if (labels and not texts) or (rows and dataset is None):
        raise InvalidRequest("--label goes with --text, --rows with --dataset.", hint=_SOURCES_HINT)
    if dataset is not None:
        return {"rows": {"dataset_id": dataset, **({"row_indexes": parse_rows(rows)} if rows else {})}}
    if texts:
        return {"examples": pair(texts, labels)}
    if file is not None:
        return {"examples": read_examples(file)}
    return {"examples": [parse_object(text, f"--example {number}") for number, text in enumerate(examples, 1)]}


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
    found: list[int] = []
    for part in text.split(","):
        match = _RANGE.match(part.strip())
        if match is None:
            raise InvalidRequest(f"{part!r} is not a row index.", hint="Write --rows 1,2,3 or --rows 10-19.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= MAX_TEST_POINTS:
            raise InvalidRequest(
                f"{part!r} is not a range of at most {MAX_TEST_POINTS} rows.", hint="Write the smaller row first."
            )
        found.extend(range(first, last + 1))
    return found


def parse_checkpoint(text: str) -> Json:
    """`idx_...=0.001` -> an index and its weight. Raises InvalidRequest."""
    index_id, _, weight = text.partition("=")
    try:
        return {"index_id": index_id, "weight": float(weight)}
    except ValueError as error:
        raise InvalidRequest(
            f"--checkpoint {text!r} is not an index and its weight.", hint="Write --checkpoint idx_...=0.001."
        ) from error


def parse_object(text: str, what: str) -> Json:
    """A JSON object. Raises InvalidRequest."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{what} is not JSON: {error}.", hint="Quote the whole object: '{...}'.") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} is not a JSON object.", hint='Write one, e.g. \'{"text": "...", "label": 1}\'.')
    return value


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
                f"Line {number} of {what} is not JSON: {error}.", hint="Write one object a line."
            ) from error
        if not isinstance(row, dict):
            raise BrokenRow(f"Line {number} of {what} is not a JSON object.", hint="Write one object a line.")
        if len(rows) == MAX_TEST_POINTS:
            raise InvalidRequest(
                f"{what} holds more than {MAX_TEST_POINTS} rows.",
                hint="Send them as a data set, then query with --dataset.",
            )
        rows.append(row)
    return rows
