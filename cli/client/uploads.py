"""Rows on their way to the service."""

import json
from typing import IO

from cli.printing.output import Output
from cli.printing.text import count, plain
from datainf_client import Client
from influence.contracts.common import Json


def send_rows(
    service: Client,
    stream: IO[bytes],
    name: str,
    output: Output,
    *,
    columns: Json | None = None,
    label_names: list[str] | None = None,
) -> str:
    """Upload rows from a stream, under a file's name; answers the data set's id."""
    form = {"name": name}
    if columns is not None:
        form["columns"] = json.dumps(columns)
    if label_names is not None:
        form["label_names"] = json.dumps(label_names)
    with output.busy(f"Sending {name}"):
        upload = {"file": (name, stream, "application/octet-stream")}
        made = service.http.submit("/v1/datasets", data=form, files=upload)
    output.note(f"Data set    {plain(made['id'])}: {count(made['rows'])} rows, {plain(made['kind'])}")
    for problem in made.get("problems", []):
        output.note(f"            note: {plain(problem['message'], 200)}")
    return str(made["id"])
