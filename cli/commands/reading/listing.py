"""`datainf list`: what the service holds of a kind."""

from itertools import islice
from typing import Annotated, get_args

import typer
from rich.table import Table
from rich.text import Text

from cli.client.paths import COLLECTIONS
from cli.commands.base import client_command
from cli.options.parsing import given
from cli.printing.output import Output
from cli.printing.text import plain
from datainf_client import Client
from datainf_client.pages import pages
from influence.contracts.common import Json
from influence.contracts.work_record import JobState
from influence.errors import InvalidRequest

_KINDS = tuple(sorted(set(COLLECTIONS.values())))
_COLUMNS = ("id", "name", "state", "kind", "method", "task", "rows", "resource_id", "dataset_id", "created_at")
Kind = Annotated[str, typer.Argument(metavar="|".join(_KINDS), help="What to list.")]
State = Annotated[str | None, typer.Option(metavar="|".join(get_args(JobState)), help="Only work in this state.")]


@client_command()
def list_command(
    service: Client,
    output: Output,
    *,
    kind: Kind,
    name: Annotated[str | None, typer.Option(help="A part of the name, whatever its case.")] = None,
    state: State = None,
    index_id: Annotated[str | None, typer.Option(help="Only what was made from this index.")] = None,
    dataset_id: Annotated[str | None, typer.Option(help="Only what was made from this data set.")] = None,
    checkpoint_id: Annotated[str | None, typer.Option(help="Only what was made from this checkpoint.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """List checkpoints, data sets, indexes, queries, audits, reviews, jobs and so on, the newest first."""
    if kind not in _KINDS:
        raise InvalidRequest(f"There is no kind {kind[:80]!r}.", hint=f"Kinds are {', '.join(_KINDS)}.")
    filters = {"name": name, "state": state, "index_id": index_id, "dataset_id": dataset_id}
    found = list(islice(pages(service.http, f"/v1/{kind}", **given({**filters, "checkpoint_id": checkpoint_id})), top))
    output.show({"data": found}, lambda: show_list(kind, found, output))


def show_list(kind: str, found: list[Json], output: Output) -> None:
    """Print a table of what the records of a kind have."""
    if not found:
        output.say(f"{kind}: none")
        return
    columns = [name for name in _COLUMNS if any(one.get(name) is not None for one in found)]
    table = Table(title=kind, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == "id")
    for one in found:
        table.add_row(*(Text(plain("" if one.get(name) is None else one[name], 80)) for name in columns))
    output.results.print(table)
