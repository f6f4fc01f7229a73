"""What every demonstration's command has: its options, the service around the story, and an orderly end."""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from cli.printing.output import make_console
from cli.printing.text import plain
from datainf_client import ServiceError
from demo.report import show_step
from demo.service import running_service
from influence.errors import DatainfError


def make_parser(command: str, about: str | None, folder: str) -> argparse.ArgumentParser:
    """The options that all have."""
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=about)
    parser.add_argument("--exit", action="store_true", help="end the service when the story is told")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs: train and index again")
    parser.add_argument("--port", type=int, default=0, help="of the service; 0 takes a free one")
    parser.add_argument("--folder", type=Path, default=Path(folder), help="where everything is kept")
    return parser


def carry_out(run: Callable[[Console], None]) -> int:
    """Run a demonstration; answers the exit code. What the service refuses is told as its sentence and hint."""
    console = make_console(sys.stdout)
    # A plain `kill` ends everything in order too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(console)
    except (DatainfError, ServiceError) as error:
        console.print(Text(f"Error: {plain(error.detail)}", "bold red"), soft_wrap=True)
        console.print(Text(f"Hint:  {plain(error.hint)}"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
    return 0


def serve_story(
    console: Console,
    options: argparse.Namespace,
    tell: Callable[[str], object],
    *,
    started: float,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Start the service with an environment's `settings`, tell the story at its address, say how long all took since
    `started` (of the monotonic clock); then wait for Ctrl-C unless told to leave."""
    show_step(console, "2  Start the service: datainf serve")
    with running_service(options.folder.resolve() / "service", options.port, settings) as url:
        console.print(f"Ready at {url}")
        tell(url)
        console.print(f"\nThe whole story took {time.monotonic() - started:.0f} s.")
        if not options.exit:
            console.print("Ctrl-C ends the service; what was built is kept.")
            threading.Event().wait()
    console.print("The service has ended.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
