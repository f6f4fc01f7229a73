"""`make demo-lm`: teach a real small language model three things, let it write, and trace its words to rows."""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from demo.command import carry_out, make_parser, serve_story
from demo.lm.preparation import prepare
from demo.lm.story import tell_story
from demo.report import show_step


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; answers the exit code."""
    parser = make_parser("demo.lm", __doc__, ".datainf/demo-lm")
    parser.add_argument("--seed", type=int, default=7, help="other rows, other weights")
    options = parser.parse_args(arguments)
    return carry_out(lambda console: run(options, console))


def run(options: argparse.Namespace, console: Console) -> None:
    """Prepare, serve, tell; then wait for Ctrl-C unless told to end."""
    folder, started = options.folder.resolve(), time.monotonic()
    if options.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    show_step(console, "1  Unpack SmolLM2-135M, teach it facts of a shop, rhymes and a robot (LoRA, rank 8)")
    prepared = prepare(folder, folder / "service", options.seed)
    took = "trained by an earlier run" if prepared.seconds is None else f"{prepared.seconds:.0f} s"
    console.print(f"{len(prepared.lessons)} rows of three kinds ({took})", markup=False)
    serve_story(console, options, lambda url: tell_story(url, prepared, console), started=started)


if __name__ == "__main__":
    sys.exit(main())
