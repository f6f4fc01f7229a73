"""`datainf api` and `datainf worker`: this process becomes one part of the service."""

import os

from cli.commands.serve import API_COMMAND, WORKER_COMMAND


def run_api() -> None:
    """Run only the API, configured by DATAINF_* variables."""
    _replace_process(API_COMMAND)


def run_worker() -> None:
    """Run only the worker processes of this machine, configured by DATAINF_* variables."""
    _replace_process(WORKER_COMMAND)


def _replace_process(command: tuple[str, ...]) -> None:
    # A file app.py in the current folder must not be taken for ours.
    os.execve(command[0], list(command), {**os.environ, "PYTHONSAFEPATH": "1"})
