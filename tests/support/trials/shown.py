"""What a terminal shows."""

import io
from typing import Any

from rich.console import Console

from cli.commands.audit import suspect_table
from cli.printing.tables import show_query
from influence.contracts.audit import AuditedRow
from influence.contracts.query import Query


def show(query: dict[str, Any]) -> str:
    """An answered query as `datainf query` prints it."""
    console = Console(file=io.StringIO(), width=200)
    show_query(Query.model_validate(query), console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def show_suspects(rows: list[dict[str, Any]]) -> str:
    """Audited rows as `datainf audit` prints them."""
    console = Console(file=io.StringIO(), width=200)
    console.print(suspect_table([AuditedRow.model_validate(row) for row in rows]))
    return str(console.file.getvalue())  # type: ignore[attr-defined]
