"""`datainf rename`: what lists call a resource."""

from typing import Annotated

import typer

from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.printing.output import Output
from datainf_client import Client


@client_command()
def rename_command(
    service: Client,
    output: Output,
    *,
    resource_id: Annotated[
        str, typer.Argument(metavar="ID", help="A checkpoint, data set, index, audit, evaluation or review.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What lists call it; '' takes its name away.")],
) -> None:
    """Give a resource another name. Its id, and all that is asked of it, stay as they are."""
    renamed = service.http.patch(resource_path(resource_id), {"name": name or None})
    output.note(f"Renamed     {resource_id}")
    output.show({"id": resource_id, "name": renamed["name"]}, lambda: None)
