"""`make demo`: the main job, end to end, on real input."""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from cli.printing.output import make_console
from cli.printing.text import plain
from cli.samples.tickets import TicketSettings
from datainf_client import ServiceError
from demo.preparation import forget, prepare
from demo.report import show_step
from demo.service import running_service
from demo.story import tell_story
from influence.errors import DatainfError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; answers the exit code."""
    options = read_options(arguments)
    console = make_console(sys.stdout)
    # A plain `kill` ends everything in order too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(options, console)
    except (DatainfError, ServiceError) as error:
        console.print(Text(f"Error: {plain(error.detail)}", "bold red"), soft_wrap=True)
        console.print(Text(f"Hint:  {plain(error.hint)}"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
    return 0


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end the service when the story is told")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs: train and index again")
    parser.add_argument("--seed", type=int, default=TicketSettings.seed, help="another data set")
    parser.add_argument("--port", type=int, default=0, help="of the service; 0 takes a free one")
    parser.add_argument("--folder", type=Path, default=Path(".datainf/demo"), help="where everything is kept")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, console: Console) -> None:
    """Prepare, serve, tell; then wait for Ctrl-C unless told to end."""
    folder, started = options.folder.resolve(), time.monotonic()
    if options.fresh:
        forget(folder)
    show_step(console, "1  Write support tickets, fine-tune the encoder on them (LoRA, rank 8)")
    prepared = prepare(folder, TicketSettings(seed=options.seed))
    tickets = prepared.tickets
    took = "trained by an earlier run" if prepared.seconds is None else f"{prepared.seconds:.0f} s"
    console.print(
        f"{len(tickets.train)} training tickets, {len(tickets.wrong)} of them labelled wrong on purpose; "
        f"{len(tickets.heldout)} held out. Held-out accuracy {prepared.report['heldout_accuracy']:.1%} "
        f"({took}; kept in {plain(prepared.folder)})",
        markup=False,
        soft_wrap=True,
    )
    show_step(console, "2  Start the service: datainf serve")
    with running_service(folder / "service", options.port) as url:
        console.print(f"Ready at {url}")
        tell_story(url, prepared, console)
        console.print(f"\nThe whole story took {time.monotonic() - started:.0f} s.")
        if not options.exit:
            console.print("Ctrl-C ends the service; what was built is kept.")
            threading.Event().wait()
    console.print("The service has ended.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
