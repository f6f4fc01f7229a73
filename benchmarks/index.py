"""The compact index measured: fidelity on real gradients, and how queries and loading grow with rows.

    python -m benchmarks.index --shared ../shared            # both parts
    python -m benchmarks.index --only scale --rows 10000 1000000
    python -m benchmarks.index --only peers --peers /path/to/python --train-rows 200 --tests 10

Figures are written as JSON lines to --out beside the tables on the screen. Take them on an idle machine.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.index_fidelity import measure
from benchmarks.index_gradients import collect, reference_work, trained_work
from benchmarks.index_scale import measure_scale

PEERS = ("ours", "loop", "pydvl", "dattri")


def main() -> None:
    options = _parse()
    with options.out.open("w") if options.out else open(os.devnull, "w") as out:
        for line in _lines(options):
            print(_render(line), flush=True)
            print(json.dumps(line), file=out, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and reference/")
    parser.add_argument("--only", choices=["fidelity", "scale", "peers"])
    parser.add_argument("--peers", help="a Python with dattri and pyDVL beside this project")
    parser.add_argument("--train-rows", type=int, default=2000)
    parser.add_argument("--tests", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=4, help="of the adapter trained here")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rank", type=int, nargs="+", default=[4, 8, 16], help="numbers a block of synthetic codes")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-redis", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _lines(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if options.only in (None, "fidelity"):
        yield from _fidelity(options)
    if options.only in (None, "scale"):
        yield from _scale(options)
    if options.peers and options.only in (None, "peers"):
        yield from _peers(options)


def _fidelity(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    sizes = {"rows": options.train_rows, "tests": options.tests}
    banking = options.shared / "data" / "banking10"
    for prepare in (
        partial(reference_work, options.shared, **sizes),
        partial(trained_work, banking, epochs=options.epochs, **sizes),
    ):
        gradients = collect(prepare())
        for line in measure(gradients):
            yield {"data": gradients.name, **line.to_json()}


def _peers(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    sizes = ["--rows", str(options.train_rows), "--tests", str(options.tests), "--shared", str(options.shared)]
    for peer in PEERS:
        command = [options.peers, "-m", "benchmarks.index_peers", peer, *sizes]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.returncode}
        yield {"peer": peer, **found}


def _scale(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for rows in options.rows:
        for rank in options.rank:
            line = measure_scale(rows, 25 * rank, threads=options.threads, with_redis=not options.no_redis)
            yield {"data": "synthetic", **line.to_json()}


def _render(line: dict[str, Any]) -> str:
    return "  ".join(f"{name} {_short(value)}" for name, value in line.items() if value is not None)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
