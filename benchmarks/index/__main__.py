"""The compact index measured: fidelity on real gradients, growth with rows, HTTP, and peers on the same work.

    python -m benchmarks.index --shared ../shared --write docs/benchmarks    # all parts, about ten minutes
    python -m benchmarks.index --only scale --rows 10000 1000000
    python -m benchmarks.index --only peers --peers /path/to/python --peer-rows 200 --peer-tests 10

Take figures on an idle machine. What is missing (data, memory, a peer) is left out with its reason.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.index.causal import causal_work
from benchmarks.index.fidelity import measure
from benchmarks.index.gradients import Work, collect, reference_work, trained_work
from benchmarks.index.http import measure_http
from benchmarks.index.report import format_value, write_report
from benchmarks.index.scale import measure_scale

PARTS = ("fidelity", "scale", "http", "peers")
PEERS = ("ours", "loop", "pydvl", "dattri")
#: Redis holds what is loaded, and a copy stands beside it: beyond this many rows only the scan is measured.
REDIS_ROWS = 1_000_000
#: Codes, the scores of 32 test points and as much again.
_MEMORY_SHARE = 0.5

Line = dict[str, Any]


class Left(Exception):
    """Why something was not measured."""


def main() -> None:
    options = _parse()
    lines: list[Line] = []
    skipped: list[str] = []
    for step in _steps(options):
        started = time.monotonic()
        try:
            for line in step():
                lines.append(line)
                print("  ".join(f"{name} {format_value(value)}" for name, value in line.items()), flush=True)
        except Left as reason:
            skipped.append(str(reason))
            print("left out:", reason, flush=True)
        print(f"-- {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if options.write:
        write_report(options.write, lines, skipped)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and reference/")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--train-rows", type=int, default=2000)
    parser.add_argument("--tests", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3, help="of the adapters trained here")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rank", type=int, nargs="+", default=[4, 8, 16], help="numbers per block of synthetic codes")
    parser.add_argument("--http-rows", type=int, default=1000)
    parser.add_argument("--peers", help="a Python with dattri and pyDVL beside this project")
    parser.add_argument("--peer-rows", type=int, default=200)
    parser.add_argument("--peer-tests", type=int, default=10)
    parser.add_argument("--peer-seconds", type=float, default=60.0, help="limit of each peer")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-redis", action="store_true")
    parser.add_argument("--write", type=Path, help="folder for index.md, index.json and fidelity.svg")
    return parser.parse_args()


def _steps(options: argparse.Namespace) -> Iterator[Callable[[], Iterator[Line]]]:
    if "fidelity" in options.only:
        for prepare, needed in _works(options):
            yield partial(_fidelity, prepare, needed)
    if "scale" in options.only:
        for rows in options.rows:
            # Past a million rows the widest says enough, and takes the longest.
            for rank in options.rank if rows <= REDIS_ROWS else options.rank[-1:]:
                yield partial(_scale, options, rows, rank)
    if "http" in options.only:
        yield partial(_http, options)
    if "peers" in options.only:
        for peer in PEERS:
            yield partial(_peer, options, peer)


def _works(options: argparse.Namespace) -> Iterator[tuple[Callable[[], Work], Path]]:
    shared, sizes = options.shared, {"rows": options.train_rows, "tests": options.tests}
    banking, sentences = shared / "data" / "banking10", shared / "data" / "sentence_transformations"
    yield partial(reference_work, shared, **sizes), shared / "reference" / "sst2_r8"
    yield partial(trained_work, banking, epochs=options.epochs, **sizes), banking
    yield partial(causal_work, sentences, epochs=options.epochs, **sizes), sentences


def _fidelity(prepare: Callable[[], Work], needed: Path) -> Iterator[Line]:
    _need(needed)
    gradients = collect(prepare())
    for line in measure(gradients):
        yield {"data": gradients.name, **line.to_json()}


def _scale(options: argparse.Namespace, rows: int, rank: int) -> Iterator[Line]:
    width = 25 * rank
    free = _free_bytes()
    needed = rows * (width + 54 + 2 * 4 * 32)
    if needed > _MEMORY_SHARE * free:
        raise Left(f"{rows:,} rows at rank {rank}: they need {needed / 1e9:.1f} GB of {free / 1e9:.1f} GB free")
    with_redis = not options.no_redis and rows <= REDIS_ROWS
    yield measure_scale(rows, width, threads=options.threads, with_redis=with_redis).to_json()


def _free_bytes() -> int:
    """What Linux can give without swapping; elsewhere all memory, which errs towards trying."""
    listed = Path("/proc/meminfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    available = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
    return available[0] if available else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _http(options: argparse.Namespace) -> Iterator[Line]:
    _need(options.shared / "reference" / "sst2_r8")
    yield from (line.to_json() for line in measure_http(options.shared, rows=options.http_rows))


def _peer(options: argparse.Namespace, peer: str) -> Iterator[Line]:
    if not options.peers:
        raise Left(f"peer {peer}: no interpreter with the peers was given (--peers)")
    _need(options.shared / "reference" / "sst2_r8")
    sizes = ["--rows", str(options.peer_rows), "--tests", str(options.peer_tests), "--shared", str(options.shared)]
    command = [options.peers, "-m", "benchmarks.index.peers", peer, *sizes]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=options.peer_seconds)
    except subprocess.TimeoutExpired as late:
        raise Left(f"peer {peer}: not done within {options.peer_seconds:g} seconds") from late
    except subprocess.CalledProcessError as failed:
        raise Left(f"peer {peer}: {(failed.stderr.splitlines() or ['it failed'])[-1]}") from failed
    yield {"peer": peer, **json.loads(done.stdout.splitlines()[-1])}


def _need(path: Path) -> None:
    if not path.exists():
        raise Left(f"{path.name}: not found in {path.parent}")


if __name__ == "__main__":
    main()
