"""Queries per second of many clients, and what one client waits: computed together, one by one, by an earlier version.

    python -m benchmarks.index.queries --write docs/benchmarks/queries.md      # ten minutes on an idle machine
    python -m benchmarks.index.queries --before /path/to/an/earlier/checkout

The services run side by side and are asked in turns. Then the same questions are asked of the first by one client and
by 32 at once, and the scores are compared.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.index.gradients import read_rows
from benchmarks.index.http import KEEPS_NO_POINTS, ask_all, build_index, checked
from benchmarks.tables import markdown
from demo.service import running_service

ROUNDS = 5
#: Clients, and how many questions all of them ask in a round.
LOADS = {1: 20, 32: 128}
_COMPARED = 64
_SECONDS = 120.0

Line = dict[str, Any]
Question = dict[str, Any]


def main() -> None:
    options = _parse()
    questions = [
        {"text": row["text"], "label": row["label"]} for row in read_rows(options.shared / "data/sst2/validation.jsonl")
    ]
    versions: dict[str, Mapping[str, str]] = {"together": {}, "one by one": {"DATAINF_QUERY_BATCH": "1"}}
    if options.before:
        versions["before"] = {"PYTHONPATH": str(options.before.resolve())}
    with ExitStack() as stack:
        paths: dict[str, dict[str, str]] = {}
        for name, settings in versions.items():
            folder = Path(stack.enter_context(TemporaryDirectory()))
            url = stack.enter_context(running_service(folder / "data", 0, {**KEEPS_NO_POINTS, **settings}))
            paths[name] = _build(url, options.shared, options.rows)
        lines = measure_loads({name: found["compact"] for name, found in paths.items()}, questions, options.rounds)
        compared = [compare(storage, path, questions) for storage, path in paths["together"].items()]
    _report(options, lines, compared)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and reference/")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--before", type=Path, help="folder of an earlier version's source to compare with")
    parser.add_argument("--write", type=Path, help="page to write")
    return parser.parse_args()


def _build(url: str, shared: Path, rows: int) -> dict[str, str]:
    """Where queries of an index of each storage are sent."""
    with httpx.Client(base_url=url, timeout=_SECONDS) as client:
        return {
            storage: f"{url}/v1/indexes/{build_index(client, shared, rows, storage=storage)}/queries"
            for storage in ("compact", "full")
        }


def measure_loads(paths: Mapping[str, str], questions: list[Question], rounds: int) -> list[Line]:
    """Of each version, its loads in turns with the others'; medians over the rounds, the first of which warms."""
    waits, rates = defaultdict[Any, list[float]](list), defaultdict[Any, list[float]](list)
    for number in range(rounds + 1):
        asked = questions[number * 97 % 400 :]
        for name, path in paths.items():
            for clients, count in LOADS.items():
                started = time.perf_counter()
                seconds = ask_all(path, asked, clients, count, exact=False)
                if number:
                    rates[name, clients].append(count / (time.perf_counter() - started))
                    waits[name, clients].append(1000 * median(seconds))
    return [
        {
            "computed": name,
            "clients": clients,
            "queries per second": median(rates[name, clients]),
            "p50 ms": median(waits[name, clients]),
        }
        for clients in LOADS
        for name in paths
    ]


def compare(storage: str, path: str, questions: list[Question]) -> Line:
    """How far scores that were computed together are from those computed alone, of the largest score."""
    alone, together = (_ask_scores(path, questions[:_COMPARED], clients) for clients in (1, 32))
    largest = np.abs(alone).max(axis=1)
    apart = np.abs(together - alone).max(axis=1) / largest
    return {
        "storage": storage,
        "questions": len(apart),
        "bit for bit the same": int(np.sum(apart == 0)),
        "median difference": float(np.median(apart)),
        "largest difference": float(apart.max()),
    }


def _ask_scores(path: str, questions: list[Question], clients: int) -> NDArray[np.float64]:
    """Scores (questions, rows)."""
    url = path.split("/v1/")[0]

    def ask(question: Question) -> list[float]:
        asked = {"examples": [question], "exact": False}
        query = checked(client.post(path, json=asked, headers={"Prefer": "wait=60"}))
        return list(checked(client.get(f"{url}/v1/queries/{query['id']}/scores"))["score"][0])

    with httpx.Client(timeout=_SECONDS) as client, ThreadPoolExecutor(clients) as pool:
        return np.array([*pool.map(ask, questions)])


def _report(options: argparse.Namespace, lines: list[Line], compared: list[Line]) -> None:
    page = f"""# Queries that wait together

`python -m benchmarks.index.queries` on {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} when it ended.
The reference adapter on {options.rows:,} rows of SST-2, each question another test row, answers from codes; clients run
on the same processors. Versions in turns, medians of {options.rounds} rounds after one that warms.

{markdown(lines)}

The same questions of one client and of 32, the largest difference of any row's score as a share of the largest score:

{markdown(compared)}
"""
    print(page)
    if options.write:
        options.write.write_text(page)


if __name__ == "__main__":
    main()
