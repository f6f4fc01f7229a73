"""The `datainf` command. Starts fast: neither torch nor pyarrow nor fastapi is loaded here."""

import sys
from collections.abc import Callable
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from cli.commands.audit import audit_command
from cli.commands.beside.keys import keys_command
from cli.commands.beside.recover import recover_command
from cli.commands.build import build_command
from cli.commands.cancel import cancel_command
from cli.commands.convert import convert_command
from cli.commands.curating.groups import groups_command, what_if_command
from cli.commands.curating.review import review_app
from cli.commands.curating.webhooks import webhook_app
from cli.commands.evaluate import evaluate_command
from cli.commands.processes import run_api, run_worker
from cli.commands.query import query_command
from cli.commands.reading.delete import delete_command
from cli.commands.reading.export import export_command
from cli.commands.reading.listing import list_command
from cli.commands.reading.methods import methods_command
from cli.commands.reading.preview import preview_command
from cli.commands.reading.rename import rename_command
from cli.commands.reading.rows import rows_command
from cli.commands.serve import serve_command
from cli.commands.status import status_command
from cli.commands.sweep import sweep_command

app = typer.Typer(
    help="Ask a fine-tuned model which training rows taught it a behaviour.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
    rich_markup_mode=None,
)


def show_version(is_asked: bool) -> None:
    """Print the version of what is installed here."""
    if is_asked:
        typer.echo(f"datainf {installed_version('datainf-service')}")
        raise typer.Exit


_COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve_command,
    "api": run_api,
    "worker": run_worker,
    "convert": convert_command,
    "recover": recover_command,
    "build": build_command,
    "query": query_command,
    "audit": audit_command,
    "sweep": sweep_command,
    "evaluate": evaluate_command,
    "groups": groups_command,
    "what-if": what_if_command,
    "preview": preview_command,
    "methods": methods_command,
    "list": list_command,
    "rows": rows_command,
    "export": export_command,
    "delete": delete_command,
    "rename": rename_command,
    "status": status_command,
    "cancel": cancel_command,
}
for name, command in _COMMANDS.items():
    app.command(name)(command)
app.add_typer(keys_command, name="keys")
app.add_typer(review_app, name="review")
app.add_typer(webhook_app, name="webhook")


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Ask a fine-tuned model which training rows taught it a behaviour."""


if __name__ == "__main__":
    sys.exit(app())
