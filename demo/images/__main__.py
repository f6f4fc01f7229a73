"""`make demo-images`: train an image model, start the service, ask which pictures taught it a style."""

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.printing.output import make_console
from cli.printing.text import plain
from demo.images.preparation import prepare
from demo.images.story import tell_story
from demo.report import show_step
from demo.service import running_service
from influence.errors import DatainfError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; answers the exit code."""
    options = read_options(arguments)
    console = make_console(sys.stdout)
    try:
        run(options, console)
    except DatainfError as error:
        console.print(Text(f"Error: {plain(error.detail)}", "bold red"), soft_wrap=True)
        console.print(Text(f"Hint:  {plain(error.hint)}"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
    return 0


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.images", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end the service when the story is told")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs: train and index again")
    parser.add_argument("--seed", type=int, default=0, help="other drawings, other weights")
    parser.add_argument("--port", type=int, default=0, help="of the service; 0 takes a free one")
    parser.add_argument("--folder", type=Path, default=Path(".datainf/demo-images"), help="where everything is kept")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, console: Console) -> None:
    """Prepare, serve, tell; then wait for Ctrl-C unless told to end."""
    folder, started = options.folder.resolve(), time.monotonic()
    if options.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    show_step(console, "1  Draw letters, train an image model on them and a LoRA on three styles")
    prepared = prepare(folder, options.seed)
    took = "trained by an earlier run" if prepared.seconds is None else f"{prepared.seconds:.0f} s"
    console.print(f"{len(prepared.train)} training pictures, {len(prepared.test)} held out ({took})", markup=False)
    show_step(console, "2  Start the service: datainf serve")
    settings = {"DATAINF_ALLOWED_ROOTS": json.dumps([str(folder)])}
    with running_service(folder / "service", options.port, settings) as url:
        console.print(f"Ready at {url}")
        tell_story(url, prepared, folder, console)
        console.print(f"\nThe whole story took {time.monotonic() - started:.0f} s.")
        if not options.exit:
            console.print("Ctrl-C ends the service; what was built is kept.")
            threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
