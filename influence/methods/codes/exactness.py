"""May a re-ranked score be called exact? What a method promises on codes, and what the index measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from influence.contracts.index import Index
from influence.methods.base import Method

#: A row is called exact where scores made like its own were all within this share of those on whole gradients.
EXACT_WITHIN = 0.01
#: Larger errors are cut to this: a score whose true value is next to zero can be off by any factor.
LARGEST_ERROR = 1e6


@dataclass(frozen=True, slots=True)
class RerankedError:
    """Relative errors of scores from true gradients of rows, where curvature is known inside the basis alone: `median`
    and `worst` of the first rows, either way, at `damping_scale` (None where a method has no damping)."""

    median: float
    worst: float
    damping_scale: float | None


def why_inexact(index: Index, method: Method[Any], damping_scale: float) -> str | None:
    """Why this index's scores from rows' true gradients may not be called exact, in a sentence; None where they may."""
    if index.spec.storage == "full" or method.on_codes is None or not method.on_codes.has_curvature:
        return None
    figure, scores = _read_figure(index, method.name), f"Re-ranked scores of '{method.name}'"
    if figure is None:
        return f"{scores} are not called exact: this index did not measure how far they are off."
    if figure.worst > EXACT_WITHIN:
        return (
            f"{scores} are not exact on codes: on this index they were off by {figure.median:.1%} in the median. An "
            "index of storage 'full' gives exact ones."
        )
    if figure.damping_scale != damping_scale:
        return f"{scores} are called exact at damping_scale {figure.damping_scale:g} alone: they were measured there."
    if index.growth is not None and index.growth.warnings:
        return f"{scores} are not called exact: the index has outgrown the basis that they were measured with."
    return None


def _read_figure(index: Index, name: str) -> RerankedError | None:
    found: Mapping[str, Any] = (index.fidelity or {}).get("reranked", {})
    return RerankedError(**found[name]) if name in found else None
