"""Figures as tables of Markdown."""

from typing import Any


def markdown(lines: list[dict[str, Any]]) -> str:
    """One line of the table for each of `lines`, which have the same names; numbers to four digits."""
    shown = [list(lines[0]), ["---"] * len(lines[0]), *([_shown(value) for value in line.values()] for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in shown)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
