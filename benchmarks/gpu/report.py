"""The figures as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

_TARGETS = {
    "speed": "Ours against a training step of the same rows: 1.00 at most.",
    "scan": "The pass against reading the same bytes: 1.2 at most.",
}


def render(report: Mapping[str, Any]) -> str:
    """Markdown: the machine, then a section for each part that ran, its reason for each that did not."""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    lines = ["# On a GPU", "", f"`make gpu`. Machine: {machine}.", ""]
    for name, part in report["parts"].items():
        lines += [f"## {part['title']} ({part['seconds']:.0f} s)", ""]
        if name in _TARGETS:
            lines += [f"Target: {_TARGETS[name]}", ""]
        lines += [f"Did not run: {part['failed']}"] if "failed" in part else _table(part["figures"])
        lines += [""]
    return "\n".join(lines)


def _table(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = list(figures[0])
    rows = [heads, ["---"] * len(heads), *([_cell(line.get(head)) for head in heads] for line in figures)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-2 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str("-" if value is None else value)
