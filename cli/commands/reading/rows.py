"""`datainf rows`: rows of a data set, an audit or a review, found and sorted."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.client.paths import resource_path
from cli.commands.audit import suspect_table
from cli.commands.base import client_command
from cli.options.parsing import given
from cli.options.search import SEARCH
from cli.printing.output import Output
from cli.printing.tables import row_text
from cli.printing.text import label_text, plain
from datainf_client import Client
from datainf_client.pages import slices
from influence.contracts.audit import AuditedRow
from influence.contracts.common import Json
from influence.errors import InvalidRequest

HOLDERS = ("ds", "aud", "rev")
_TEXT_CHARACTERS = 200
Holder = Annotated[str, typer.Argument(help="A data set (ds_...), an audit (aud_...) or a review (rev_...).")]


@client_command(SEARCH)
def rows_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    holder_id: Holder,
    sort: Annotated[
        str | None,
        typer.Option(help="A metadata column; of audits also suspicion (its default), loss, score, margin and others."),
    ] = None,
    order: Annotated[
        str | None, typer.Option(metavar="asc|desc", help="Figures of audits fall, anything else rises by default.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many rows.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Write the rows here as JSON lines.")] = None,
) -> None:
    """Show rows that fit conditions, in the order asked for."""
    require_holder(holder_id)
    parameters = {**settings, **given({"sort": sort, "order": order})}
    found = list(islice(slices(service.http, f"{resource_path(holder_id)}/rows", **parameters), top))
    if out is not None:
        write_lines(out, found)
        output.note(f"Rows        {out}")
    output.show({"data": found}, lambda: output.results.print(rows_table(holder_id, found)))


def require_holder(holder_id: str) -> None:
    """Raise InvalidRequest for an id of what has no rows."""
    if holder_id.partition("_")[0] not in HOLDERS:
        raise InvalidRequest(
            f"{holder_id[:80]!r} has no rows of its own.", hint="Give a ds_..., aud_... or rev_... id."
        )


def write_lines(target: Path, rows: list[Json]) -> None:
    """Write rows as JSON lines. Raises InvalidRequest."""
    try:
        target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"{target} cannot be written: {error.strerror}.", hint="Give --out another path."
        ) from error


def rows_table(holder_id: str, rows: list[Json]) -> Table:
    """Rows with what their holder says of them."""
    if holder_id.startswith("aud_"):
        return suspect_table([AuditedRow.model_validate(row) for row in rows], "Rows")
    table = Table(title="Rows", title_justify="left", expand=True)
    facts = ("decision",) if holder_id.startswith("rev_") else ()
    for name in ("#", "row", *facts, "label", "metadata"):
        table.add_column(name, max_width=30, no_wrap=name in ("#", "row"))
    table.add_column("text", ratio=1)
    for row in rows:
        told = (decision_text(row.get("decision")),) if facts else ()
        words: Mapping[str, Any] = row["row"]
        cells = (plain(row["row_id"], 40), *told, label_text(words.get("label", ""), 80), _facts(row.get("metadata")))
        table.add_row(str(row["row_index"]), *map(Text, cells), Text(row_text(words, _TEXT_CHARACTERS)))
    return table


def decision_text(decision: Json | None) -> str:
    """`relabel to billing by ada: note`."""
    if decision is None:
        return ""
    label = "" if decision.get("label") is None else f" to {decision['label']}"
    by = f" by {decision['by']}" if decision.get("by") else ""
    note = f": {decision['note']}" if decision.get("note") else ""
    return plain(f"{decision['action']}{label}{by}{note}", 120)


def _facts(metadata: Json | None) -> str:
    return plain(", ".join(f"{name}: {value}" for name, value in (metadata or {}).items()), 120)
