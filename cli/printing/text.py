"""Making text from strangers fit for a terminal. Rows, ids and log lines may hold anything."""

from collections.abc import Mapping

from datainf_client.text import count, duration_text, plain
from influence.contracts.dataset import TextSpan

__all__ = ["bytes_text", "count", "duration_text", "label_text", "plain"]


def label_text(label: object, limit: int) -> str:
    """A label of any kind: classes and numbers as they are, sets and tags one after another, spans with their place."""
    return plain(_spell(label), limit)


def _spell(label: object) -> str:
    if isinstance(label, TextSpan):
        return f"{label.label} {label.start}-{label.end}"
    if isinstance(label, Mapping):
        return f"{label.get('label')} {label.get('start')}-{label.get('end')}"
    if isinstance(label, list | tuple):
        return ", ".join(map(_spell, label)) or "none"
    return "-" if label is None else str(label)


def bytes_text(number: float) -> str:
    """A size for people."""
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
