"""Indexes larger than one worker, first queries, and queries beside a build.

python -m benchmarks.scale --write docs/benchmarks/scale.md      # six minutes on an idle machine
python -m benchmarks.scale --rows 50000000 --only parted
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.scale.beside import measure_beside
from benchmarks.scale.cold import measure_cold
from benchmarks.scale.machinery import running_bench
from benchmarks.scale.parted import compare_parts, measure_parted
from benchmarks.tables import markdown
from influence.process.logs import configure_logs

PARTS = ("parted", "same", "cold", "beside")
_TITLES = {
    "parted": "An index that two workers share out",
    "same": "The same answer for any number of parts",
    "cold": "The first query on an index of a million rows",
    "beside": "Queries beside a build",
}
_NOTES = {
    "parted": "Each round asks a new question: parts keep the scores of one that comes again. "
    "[What limits an answer](../decisions/scale/0019-parts-by-queue.md).",
    "same": "Against an index that one process holds.",
    "cold": "By a process that has just started, with a test gradient made before: from opening the index to what "
    "people read of the scores. The first query on a thousand rows is what any takes, whatever its bytes. "
    "[What limits the rest](../decisions/scale/0015-redis-is-the-cache.md#first-queries).",
    "beside": "One client that asks again as soon as it is answered. "
    "[What it waits for](../decisions/scale/0017-queries-together.md).",
}
_MILLION = 1_000_000


def main() -> None:
    options = _parse()
    torch.set_num_threads(2)
    configure_logs("ERROR", as_json=False)
    page = [
        "# Scale",
        f"`python -m benchmarks.scale --rows {options.rows}` on {os.cpu_count()} cores; load "
        f"{os.getloadavg()[0]:.1f} when it began. Synthetic codes of 154 bytes per row; medians, in turns.",
    ]
    for part in options.only:
        started = time.monotonic()
        lines = _measure(part, options)
        page += [f"## {_TITLES[part]}", _NOTES[part], markdown(lines)]
        print(f"{_TITLES[part]} ({time.monotonic() - started:.0f} s)\n{markdown(lines)}\n", flush=True)
    if options.write:
        options.write.write_text("\n\n".join(page) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and reference/")
    parser.add_argument("--rows", type=int, default=10 * _MILLION, help="of the index that workers share out")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--write", type=Path, help="page to write")
    return parser.parse_args()


def _measure(part: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    if part == "beside":
        return measure_beside(options.shared)
    with running_bench() as bench:
        if part == "parted":
            return measure_parted(bench, options.rows)
        return (compare_parts if part == "same" else measure_cold)(bench, _MILLION)


if __name__ == "__main__":
    main()
