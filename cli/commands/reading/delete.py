"""`datainf delete`: remove what the service holds."""

import sys
from typing import Annotated

import typer

from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.printing.output import Output
from datainf_client import Client
from influence.errors import InvalidRequest


@client_command()
def delete_command(
    service: Client,
    output: Output,
    *,
    resource_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="What to remove, by its ids.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
) -> None:
    """Remove resources with all that they keep. An index takes its queries, sweeps, audits and groups along."""
    paths = {resource_id: resource_path(resource_id) for resource_id in resource_ids}
    if not yes:
        confirm(resource_ids)
    for resource_id, path in paths.items():
        service.http.delete(path)
        output.note(f"Removed     {resource_id}")
    output.show({"removed": list(paths)}, lambda: None)


def confirm(resource_ids: list[str]) -> None:
    """Ask whoever sits there. Raises InvalidRequest where nobody does, or where the answer is no."""
    if not sys.stdin.isatty():
        raise InvalidRequest("Nobody can be asked whether to remove this.", hint="Give --yes.")
    if not typer.confirm(f"Remove {', '.join(resource_ids)} with all that it keeps?", err=True):
        raise InvalidRequest("Nothing was removed.", hint="Answer y, or give --yes.")
