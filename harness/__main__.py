"""`python -m harness chaos|failpoints|fuzz|lives|load|soak`: prints its seed, which makes the same run again, and exits
with 1 for a promise that was broken."""

import argparse
import logging
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog


def chaos(options: argparse.Namespace, folder: Path) -> list[str]:
    from harness.faults.chaos import FAULTS, Pauses, run_chaos
    from harness.records import run_records

    only = tuple(options.only.split(",")) if options.only else ()
    if unknown := set(only) - set(FAULTS):
        raise SystemExit(f"no fault is named {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")

    done, wrong = run_chaos(
        folder,
        seed=options.seed,
        builds=options.builds,
        faults=options.faults,
        rows=options.rows,
        pauses=Pauses(options.stop_seconds, options.away_seconds, options.hang_seconds),
        only=only,
        variant=options.variant,
    )
    garbled, more = run_records(folder / "records", seed=options.seed, trials=options.records)
    print(f"faults: {dict(done)}; values garbled: {sum(garbled.values())}")
    return [*wrong, *more]


def failpoints(options: argparse.Namespace, folder: Path) -> list[str]:
    from harness.faults.failpoints import run_failpoints

    deaths, wrong = run_failpoints(folder, seed=options.seed, times=options.times, rows=options.rows)
    print(f"deaths: {dict(deaths)}")
    return wrong


def fuzz(options: argparse.Namespace, folder: Path) -> list[str]:
    from harness.fuzzed import fuzz_everything

    statuses, wrong = fuzz_everything(folder, seed=options.seed, requests=options.requests)
    print(f"answers: {dict(sorted(statuses.items()))}")
    return wrong


def lives(options: argparse.Namespace, folder: Path) -> list[str]:
    from harness.lives import run_lives
    from influence.store.connections import connect
    from influence.store.embedded import EmbeddedServer
    from influence.store.store import Store

    server = EmbeddedServer(folder / "redis")
    server.start()
    try:
        run_lives(Store(connect(server.url)), seed_of_run=options.seed, lives=options.lives, steps=options.steps)
    except AssertionError as error:
        return [str(error)]
    finally:
        server.stop()
    print(f"{options.lives} lives of up to {options.steps} steps")
    return []


def load(options: argparse.Namespace, folder: Path) -> list[str]:
    from harness.load import percentile, run_load

    statuses, served, wrong = run_load(
        folder, seed=options.seed, callers=options.callers, seconds=options.seconds, rows=options.rows
    )
    print(f"answers: {dict(statuses)}; p99 of those served: {percentile(served or [0.0], 0.99):.2f} s")
    return wrong


def soak(options: argparse.Namespace, folder: Path) -> list[str]:
    from harness.soak import run_soak

    levels, wrong = run_soak(folder, seed=options.seed, seconds=options.seconds, rows=options.rows)
    print(f"first: {levels[0]}\nlast: {levels[-1]}")
    return wrong


RUNS: dict[str, Callable[[argparse.Namespace, Path], list[str]]] = {
    "chaos": chaos,
    "failpoints": failpoints,
    "fuzz": fuzz,
    "lives": lives,
    "load": load,
    "soak": soak,
}


def main() -> int:
    """Run one of them; answers the exit status."""
    parser = argparse.ArgumentParser(prog="harness", description=__doc__)
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--builds", type=int, default=100, help="chaos: builds")
    parser.add_argument("--faults", type=int, default=6, help="chaos: faults a build meets at most")
    parser.add_argument("--only", default="", help="chaos: faults to choose among, with commas; all without it")
    parser.add_argument("--stop-seconds", type=float, default=50.0, help="chaos: how long a stopped worker stays so")
    parser.add_argument("--away-seconds", type=float, default=30.0, help="chaos: how long a Redis is away")
    parser.add_argument("--hang-seconds", type=float, default=60.0, help="chaos: how long a Redis hangs")
    parser.add_argument("--times", type=int, default=10, help="failpoints: deaths at each side of each place")
    parser.add_argument("--variant", default="", help="chaos: a worker that is broken on purpose, see broken.py")
    parser.add_argument("--records", type=int, default=400, help="chaos: stored values that are garbled, one at a time")
    parser.add_argument("--requests", type=int, default=100_000, help="fuzz: requests")
    parser.add_argument("--lives", type=int, default=2000, help="lives: how many")
    parser.add_argument("--steps", type=int, default=50, help="lives: steps of each at most")
    parser.add_argument("--callers", type=int, default=200, help="load: callers at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="load, soak: how long")
    parser.add_argument("--rows", type=int, default=400, help="rows of the data set")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"seed: {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="datainf-harness-") as folder:
        wrong = RUNS[options.run](options, Path(folder))
    for line in dict.fromkeys(wrong):
        print(f"BROKEN: {line}")
    print(f"{len(wrong)} promises broken" if wrong else "every promise held")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
