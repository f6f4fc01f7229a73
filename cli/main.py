"""The `datainf` command. Starts fast: neither torch nor pyarrow nor fastapi is loaded here."""

import sys

import typer

from cli.commands.audit import audit_command
from cli.commands.build import build_command
from cli.commands.cancel import cancel_command
from cli.commands.evaluate import evaluate_command
from cli.commands.keys import keys_command
from cli.commands.processes import run_api, run_worker
from cli.commands.query import query_command
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
_COMMANDS = {
    "serve": serve_command,
    "api": run_api,
    "worker": run_worker,
    "build": build_command,
    "query": query_command,
    "audit": audit_command,
    "sweep": sweep_command,
    "evaluate": evaluate_command,
    "status": status_command,
    "cancel": cancel_command,
}
for name, command in _COMMANDS.items():
    app.command(name)(command)
app.add_typer(keys_command, name="keys")


if __name__ == "__main__":
    sys.exit(app())
