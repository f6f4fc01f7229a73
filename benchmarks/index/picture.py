"""Bytes per row against fidelity, as an SVG."""

import math
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 60
_COLOURS = ("#0b6e99", "#c2571a", "#4b8b3b", "#7a4fa3")
#: 1 - Spearman, logarithmic: what is lost, from a tenth to a hundred-thousandth.
_WORST, _BEST = 1e-1, 1e-5
#: Bytes per row, logarithmic.
_LEAST, _MOST = 50.0, 1e6


def draw_fidelity(lines: Sequence[dict[str, Any]]) -> str:
    """One series a data set: filled points are int8 codes, open ones everything else, named when the mouse rests."""
    names = list(dict.fromkeys(line["data"] for line in lines))
    body = [*_axes(), *(part for number, name in enumerate(names) for part in _series(number, name, lines))]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *body, "</svg>\n"])


def _across(row_bytes: float) -> float:
    share = math.log(row_bytes / _LEAST) / math.log(_MOST / _LEAST)
    return _LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)


def _down(spearman: float) -> float:
    lost = min(max(1 - spearman, _BEST), _WORST)
    return _TOP + math.log(lost / _BEST) / math.log(_WORST / _BEST) * (HEIGHT - _TOP - _BOTTOM)


def _axes() -> Iterator[str]:
    for row_bytes in (100, 1_000, 10_000, 100_000, 1_000_000):
        x = _across(row_bytes)
        yield f'<path d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{row_bytes:,}</text>'
    for spearman in (0.9, 0.99, 0.995, 0.999, 0.9999, 0.99999):
        y = _down(spearman)
        yield f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{spearman:g}</text>'
    yield f'<text x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 18}" text-anchor="middle">bytes per row</text>'
    yield f'<text x="8" y="{_TOP - 18}">Spearman with DataInf on all gradients, mean over test points</text>'


def _series(number: int, name: str, lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    found = [line for line in lines if line["data"] == name]
    codes = [line for line in found if line["kept"].startswith("rank") and line["kept"].endswith("int8")]
    path = " ".join(f"{_across(line['bytes_per_row']):.1f},{_down(line['spearman_mean']):.1f}" for line in codes)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for line in found:
        x, y = _across(line["bytes_per_row"]), _down(line["spearman_mean"])
        fill = colour if line in codes else "white"
        label = escape(f"{name}: {line['kept']}, {line['bytes_per_row']:g} bytes, {line['spearman_mean']:.4f}")
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}"><title>{label}</title></circle>'
    y = _TOP + 14 + 18 * number
    yield f'<text x="{WIDTH - _RIGHT - 8}" y="{y}" text-anchor="end" fill="{colour}">{escape(name)}</text>'
