"""Per-row gradients measured against a training step, other ways of getting them, and the machine's peak.

    python -m benchmarks.gradients                                  # about ten minutes on two cores
    python -m benchmarks.gradients --workloads minilm-sst2 --rows 64 --rounds 2 --threads 1 --no-memory
    python -m benchmarks.gradients --peers /path/to/python          # one that has them beside this project
    python -m benchmarks.gradients --workloads smollm2 --rows 16    # a real language model, of the extra 'lm'
    python -m benchmarks.gradients --device cuda --workloads llama-1b --precision bfloat16 --rows 64

Take figures on an idle machine. Contenders take turns on the same rows; the table has medians over rounds of ratios
taken within a round. Every figure goes to OUT.json, the tables to OUT.md and to the screen.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gradients.conditions import count_operations, describe_machine
from benchmarks.gradients.contenders import Run, collecting, looping, training, vectorising
from benchmarks.gradients.timing import measure, median_ratio, multiplying, peak_bytes, time_in_turns
from benchmarks.gradients.workloads import WORKLOADS, Workload, make_workload
from workers.batching.plan import plan_batches
from workers.gradients.collector import GradientCollector
from workers.rows import Batch

PEERS = ("pydvl", "dattri", "bergson")
MEMORY_ROWS = (1_000, 10_000, 50_000)
_ROOT = Path(__file__).resolve().parents[2]
_CPU_WORKLOADS = ["minilm-sst2", "minilm-banking10", "minilm-128", "llama-32k", "vit-s16"]
_OTHERS = {
    "training step": "vs training step",
    "file order": "vs file order",
    "row loop": "vs row loop",
    "vmap(grad)": "vs vmap(grad)",
}

#: Rows a round: enough short texts that batches of like length can pay, few enough long ones that rounds are short.
_ROWS = {"minilm-sst2": 160, "minilm-banking10": 160}
_LONG_ROWS = 48


def main() -> None:
    """Measure what is asked and write the tables."""
    options = _parse()
    report: dict[str, Any] = {"machine": describe_machine(options.device), "speed": [], "peers": [], "memory": []}
    for name in options.workloads:
        for threads in options.threads:
            report["speed"].append(measure_workload(name, threads, options))
            _print_progress(report["speed"][-1])
    if options.peers:
        report["peers"] = [run_peer(peer, options) for peer in PEERS]
    if not options.no_memory:
        heaps = ("steady", "plain")
        report["memory"] = [measure_memory(rows, heap) for heap in heaps for rows in options.memory_rows]
    table = render(report)
    print(table)
    options.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(table + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="\n".join(__doc__.splitlines()[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), help="default: all that suit the device")
    parser.add_argument("--rows", type=int, help="rows a round (160 of short texts, 48 of long ones)")
    parser.add_argument("--batch-rows", type=int, default=32, help="rows per batch, for all that batch (32)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds counted (5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads to try (1 2)")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--without", nargs="+", default=[], choices=list(_OTHERS), help="contenders to leave out")
    parser.add_argument("--shared", type=Path, default=_ROOT.parent / "shared", help="folder with data/")
    parser.add_argument("--data", type=Path, help="JSONL of rows instead: text and label, or prompt and completion")
    parser.add_argument("--peers", help="a Python with peer libraries and this project; without it they are left out")
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory")
    parser.add_argument("--memory-rows", type=int, nargs="+", default=list(MEMORY_ROWS))
    parser.add_argument("--out", type=Path, default=Path("gradients"), help="OUT.json and OUT.md (gradients)")
    options = parser.parse_args()
    options.workloads = options.workloads or (["llama-1b"] if options.device.type == "cuda" else _CPU_WORKLOADS)
    return options


def measure_workload(name: str, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Rows per second of our collector and how many times as long every other way takes."""
    torch.set_num_threads(threads)
    device = options.device
    work = make_workload(
        name, shared=options.shared, data=options.data, rows=options.rows or _ROWS.get(name, _LONG_ROWS), device=device
    )
    bucketed, in_order = make_batches(work, options.batch_rows, device)
    collector = GradientCollector(work.model, work.row_losses, precision=options.precision)
    collector.collect(bucketed[0])  # verified once, outside the clock
    contenders: dict[str, Run] = {
        "ours": collecting(collector, bucketed),
        "training step": training(work, bucketed, options.precision),
        "file order": collecting(collector, in_order),
        "row loop": looping(work, device, options.precision),
        "vmap(grad)": vectorising(work, bucketed, options.precision),
    }
    contenders = {name: run for name, run in contenders.items() if name not in options.without}
    failures = _drop_failing(contenders)
    peak, peak_operations = multiplying(device, _dtype(options.precision))
    measure(peak)
    contenders["peak"] = peak
    seconds = time_in_turns(contenders, rounds=options.rounds)
    operations = count_operations(collecting(collector, bucketed))
    shares = [
        (operations / ours) / (peak_operations / best)
        for ours, best in zip(seconds["ours"], seconds["peak"], strict=True)
    ]
    ours = statistics.median(seconds["ours"])
    return {
        "workload": name,
        "threads": threads,
        "precision": options.precision,
        "note": work.note,
        "rows": len(work.rows),
        "tokens": sum(row.length for row in work.rows),
        "rows_per_second": len(work.rows) / ours,
        "tokens_per_second": sum(r.length for r in work.rows) / ours,
        "share_of_peak": statistics.median(shares),
        "gigaflops": operations / 1e9,
        "seconds": seconds,
        "peak_bytes": peak_bytes(collecting(collector, bucketed), device),
        "times_as_long": {
            other: median_ratio(seconds, other, "ours") for other in contenders if other not in ("ours", "peak")
        },
        "training_step_ratio": median_ratio(seconds, "ours", "training step") if "training step" in seconds else None,
        "failed": failures,
        "slow_blocks": sum(block.path == "slow" for block in collector.blocks),
    }


def make_batches(work: Workload, batch_rows: int, device: torch.device) -> tuple[list[Batch], list[Batch]]:
    """The same rows by length and in file order, so many a batch."""
    lengths = [row.length for row in work.rows]
    plan = plan_batches(lengths, token_budget=batch_rows * max(lengths), max_rows=batch_rows)
    in_order = [list(range(len(lengths)))[start : start + batch_rows] for start in range(0, len(lengths), batch_rows)]
    bucketed, naive = (_collate(work, positions, device) for positions in (plan, in_order))
    return bucketed, naive


def _collate(work: Workload, plan: Sequence[Sequence[int]], device: torch.device) -> list[Batch]:
    return [work.collate([work.rows[position] for position in positions]).to(device) for positions in plan]


def _drop_failing(contenders: dict[str, Run]) -> dict[str, str]:
    """Run every other way once; one that cannot do this model is named with its reason and left out."""
    failures = {}
    for name in list(contenders):
        try:
            measure(contenders[name])
        except (RuntimeError, ValueError, TypeError) as error:
            failures[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
            del contenders[name]
    return failures


def run_peer(peer: str, options: argparse.Namespace) -> dict[str, Any]:
    """A peer's figures from its own interpreter, or why there are none."""
    command = [
        options.peers,
        "-W",
        "ignore",
        "-m",
        "benchmarks.gradients.peers",
        peer,
        "--shared",
        str(options.shared),
        "--rows",
        str(options.rows or _LONG_ROWS),
        "--batch-rows",
        str(options.batch_rows),
        "--rounds",
        str(options.rounds),
        "--threads",
        str(options.threads[-1]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
    if done.returncode:
        return {"peer": peer, "skipped": (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_memory(rows: int, heap: str) -> dict[str, Any]:
    """Peak memory of a fresh process that streams so many rows, with a worker's `steady` heap or a `plain` one."""
    command = [sys.executable, "-m", "benchmarks.gradients.memory", "--rows", str(rows)]
    command += ["--plain-heap"] if heap == "plain" else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=_ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _dtype(precision: str) -> torch.dtype:
    return torch.float32 if precision == "float32" else torch.bfloat16


def _print_progress(line: dict[str, Any]) -> None:
    print(f"{line['workload']}, {line['threads']} threads: {line['rows_per_second']:.1f} rows/s", file=sys.stderr)


def render(report: dict[str, Any]) -> str:
    """The report as Markdown. A ratio above 1 says how many times as long the other takes."""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    lines = [f"Machine: {machine}.", ""]
    if report["speed"]:
        heads = ["workload", "threads", "precision", "rows/s", "tokens/s", *_OTHERS.values(), "share of peak"]
        lines += _table(heads, [_speed_cells(line) for line in report["speed"]])
        lines += [
            f"{line['workload']}: {name} does not run ({why})"
            for line in report["speed"]
            for name, why in line["failed"].items()
        ]
    if report["peers"]:
        cells = [
            [
                p["peer"],
                _number(p.get("rows_per_second")),
                _number(p.get("ours_rows_per_second")),
                _number(p.get("ratio")),
                p.get("skipped", p.get("note", "")),
            ]
            for p in report["peers"]
        ]
        lines += ["", *_table(["peer", "rows/s", "ours rows/s", "vs ours", "note"], cells)]
    if report["memory"]:
        first = {m["heap"]: m["peak_bytes"] for m in reversed(report["memory"])}
        cells = [
            [
                m["heap"],
                f"{m['rows']:,}",
                f"{m['peak_bytes'] / 2**20:.0f}",
                f"{m['peak_bytes'] / first[m['heap']] - 1:+.1%}",
                f"{m['cpu_seconds']:.1f}",
            ]
            for m in report["memory"]
        ]
        lines += ["", *_table(["heap", "rows", "peak MiB", "against the first", "CPU s"], cells)]
    return "\n".join(lines)


def _speed_cells(line: dict[str, Any]) -> list[str]:
    ratios = [_number(line["times_as_long"].get(other)) for other in _OTHERS]
    return [
        line["workload"],
        str(line["threads"]),
        line["precision"],
        f"{line['rows_per_second']:.1f}",
        f"{line['tokens_per_second']:.0f}",
        *ratios,
        f"{line['share_of_peak']:.0%}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(heads: list[str], cells: list[list[str]]) -> list[str]:
    rows = [heads, ["---"] * len(heads), *cells]
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    main()
