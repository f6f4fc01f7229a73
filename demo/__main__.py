"""`make demo`: the main job, end to end, on real input."""

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from cli.printing.text import plain
from cli.samples.tickets import TicketSettings
from demo.command import carry_out, make_parser, serve_story
from demo.preparation import forget, prepare
from demo.report import show_step
from demo.story import tell_story


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; answers the exit code."""
    parser = make_parser("demo", __doc__, ".datainf/demo")
    parser.add_argument("--seed", type=int, default=TicketSettings.seed, help="another data set")
    options = parser.parse_args(arguments)
    return carry_out(lambda console: run(options, console))


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
    serve_story(console, options, lambda url: tell_story(url, prepared, console), started=started)


if __name__ == "__main__":
    sys.exit(main())
