"""Everything that a CUDA device should prove, in one command under nine minutes, without a network.

    python -m benchmarks.gpu                            # writes docs/benchmarks/gpu.json and gpu.md
    python -m benchmarks.gpu --parts scan fidelity
    python -m benchmarks.gpu --device cpu --small --out /tmp/gpu     # a rehearsal without a device

Needs torch with CUDA, transformers, peft and this project's own dependencies, pytest among them.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.fidelity import measure_fidelity
from benchmarks.gpu.parts import make_parts, run_part
from benchmarks.gpu.report import render
from benchmarks.gpu.scan import ROW_BYTES, measure_scan
from benchmarks.gradients.conditions import describe_machine

_SCANNED_ROWS, _FEW_ROWS = 100_000_000, 200_000
#: Left for scores and the compiler beside the codes.
_SPARE_BYTES = 2 << 30


def main() -> None:
    """Run the parts and write the page; exit 1 when one did not run."""
    options = _parse()
    device = torch.device(options.device)
    if options.only_figures:
        print(json.dumps(_figures(options.only_figures, device, small=options.small)))
        return
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no CUDA device here. A rehearsal: --device cpu --small --out /tmp/gpu")
    parts = make_parts(options.device, small=options.small)
    report: dict[str, Any] = {"machine": describe_machine(device), "parts": {}}
    for name in options.parts or parts:
        report["parts"][name] = run_part(parts[name])
        print(f"{name}: {report['parts'][name].get('failed', 'done')}", file=sys.stderr)
        # Written after every part: what a machine has told is kept when it goes away.
        options.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        options.out.with_suffix(".md").write_text(render(report) + "\n", "utf-8")
    sys.exit(any("failed" in part for part in report["parts"].values()))


def _figures(part: str, device: torch.device, *, small: bool) -> list[dict[str, Any]]:
    if part == "fidelity":
        return measure_fidelity(device)
    return [measure_scan(device, _FEW_ROWS if small else _rows_that_fit(device))]


def _rows_that_fit(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return min(_SCANNED_ROWS, max(1, free - _SPARE_BYTES) // (ROW_BYTES + 4))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="\n".join(__doc__.splitlines()[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", nargs="+", choices=list(make_parts("cuda", small=False)), help="default: all")
    parser.add_argument("--small", action="store_true", help="a rehearsal on little work")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/gpu"), help="OUT.json and OUT.md")
    parser.add_argument("--only-figures", choices=["fidelity", "scan"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
