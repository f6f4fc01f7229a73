"""`make demo-images`: train an image model, start the service, ask which pictures taught it a style."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from demo.command import carry_out, make_parser, serve_story
from demo.images.preparation import prepare
from demo.images.story import tell_story
from demo.report import show_step


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; answers the exit code."""
    parser = make_parser("demo.images", __doc__, ".datainf/demo-images")
    parser.add_argument("--seed", type=int, default=0, help="other drawings, other weights")
    options = parser.parse_args(arguments)
    return carry_out(lambda console: run(options, console))


def run(options: argparse.Namespace, console: Console) -> None:
    """Prepare, serve, tell; then wait for Ctrl-C unless told to end."""
    folder, started = options.folder.resolve(), time.monotonic()
    if options.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    show_step(console, "1  Draw letters, train an image model on them and a LoRA on three styles")
    prepared = prepare(folder, options.seed)
    took = "trained by an earlier run" if prepared.seconds is None else f"{prepared.seconds:.0f} s"
    console.print(f"{len(prepared.train)} training pictures, {len(prepared.test)} held out ({took})", markup=False)
    settings = {"DATAINF_ALLOWED_ROOTS": json.dumps([str(folder)])}
    serve_story(
        console, options, lambda url: tell_story(url, prepared, folder, console), started=started, settings=settings
    )


if __name__ == "__main__":
    sys.exit(main())
