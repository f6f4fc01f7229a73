"""The figures as a page, a JSON file and a picture."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.index.picture import draw_fidelity

Line = dict[str, Any]

#: (title, what it says, columns as field and heading, what tells its lines).
_TABLES: tuple[tuple[str, str, dict[str, str], str], ...] = (
    (
        "Fidelity",
        "Spearman correlation with DataInf on all gradients, over the test points; the share of the true top 10 (both "
        "ways) in the first 10 and 40 by codes and after re-ranking those 40; the worst relative error of a returned "
        "score; seconds to fit and to encode.",
        {
            "data": "data",
            "kept": "kept",
            "bytes_per_row": "bytes per row",
            "spearman_mean": "Spearman",
            "spearman_worst": "worst",
            "top10": "top 10",
            "top10_in_40": "in 40",
            "top10_re_ranked": "re-ranked",
            "error": "error",
            "seconds": "s",
        },
        "kept",
    ),
    (
        "Scale",
        "Synthetic int8 codes, 25 blocks. A plain pass reads the same bytes once with as many threads, in turns with "
        "the rest; medians. `GET` reads every key of the index by the product's own client and keeps nothing; a load "
        "also checks each value and puts it in its place. Redis bytes are `MEMORY USAGE`, summed over the keys.",
        {
            "rows": "rows",
            "bytes_per_row": "bytes per row",
            "threads": "threads",
            "pass_ms": "pass ms",
            "scan_1_ms": "1 point ms",
            "ratio": "of a pass",
            "scan_32_ms": "32 points ms",
            "ns_per_row": "ns per row",
            "rank_ms": "rank ms",
            "get_ms": "GET ms",
            "load_ms": "load ms",
            "load_ratio": "of GET",
            "redis_bytes": "Redis bytes",
        },
        "width",
    ),
    (
        "Through HTTP",
        "`datainf serve` on this machine, the reference adapter on SST-2; each query is one new test row, whose "
        "gradient is computed. Clients run on the same processors.",
        {
            "rows": "rows",
            "exact": "re-ranked",
            "clients": "clients",
            "requests": "queries",
            "p50_ms": "p50 ms",
            "p99_ms": "p99 ms",
            "queries_per_second": "queries per second",
        },
        "clients",
    ),
    (
        "Peers",
        "The same model and rows, from text to scores, each peer in a process of its own.",
        {
            "peer": "library",
            "rows": "rows",
            "tests": "test points",
            "build_seconds": "build s",
            "query_seconds": "query s",
            "kept_bytes_per_row": "bytes kept a row",
            "spearman": "Spearman",
            "note": "note",
        },
        "peer",
    ),
)


def write_report(folder: Path, lines: Sequence[Line], skipped: Sequence[str]) -> None:
    """Write index.md, index.json and fidelity.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = _machine()
    (folder / "index.json").write_text(
        json.dumps({"machine": machine, "lines": list(lines), "skipped": list(skipped)}, indent=1) + "\n"
    )
    measured = [line for line in lines if "kept" in line]
    if measured:
        (folder / "fidelity.svg").write_text(draw_fidelity(measured))
    (folder / "index.md").write_text("\n".join(_page(machine, lines, skipped, bool(measured))))


def _page(machine: dict[str, str], lines: Sequence[Line], skipped: Sequence[str], picture: bool) -> Iterable[str]:
    yield "# The compact index, measured\n"
    yield "Written by `make bench-index`; the method is on the page [compact.md](../compact.md).\n"
    yield " · ".join(f"{name} {value}" for name, value in machine.items()) + "\n"
    for title, says, columns, mark in _TABLES:
        if found := [line for line in lines if mark in line]:
            yield from (f"## {title}\n", says + "\n")
            if title == "Fidelity" and picture:
                yield "![Spearman correlation against bytes per row](fidelity.svg)\n"
            yield "| " + " | ".join(columns.values()) + " |"
            yield "|" + " --- |" * len(columns)
            yield from ("| " + " | ".join(format_value(line.get(name)) for name in columns) + " |" for line in found)
            yield ""
    if skipped:
        yield "## Left out\n"
        yield from (f"- {reason}" for reason in skipped)
        yield ""


def format_value(value: Any) -> str:
    """A figure as people read it: four digits that count."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _machine() -> dict[str, str]:
    return {
        "taken": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load at the end": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numkong": version("numkong"),
    }


def _processor() -> str:
    """Its name where Linux tells it."""
    listed = Path("/proc/cpuinfo")
    names = [line for line in listed.read_text().splitlines() if "model name" in line] if listed.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.machine()
