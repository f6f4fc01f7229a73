"""The `datainf` command. Starts fast: neither torch nor pyarrow nor fastapi is loaded here."""

import sys

import typer

from cli.commands.audit import audit
from cli.commands.build import build_command
from cli.commands.cancel import cancel
from cli.commands.evaluate import evaluate_command
from cli.commands.processes import run_api, run_worker
from cli.commands.query import query
from cli.commands.serve import serve_command
from cli.commands.status import status
from cli.commands.sweep import sweep

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
    "query": query,
    "audit": audit,
    "sweep": sweep,
    "evaluate": evaluate_command,
    "status": status,
    "cancel": cancel,
}
for name, command in _COMMANDS.items():
    app.command(name)(command)


if __name__ == "__main__":
    sys.exit(app())
