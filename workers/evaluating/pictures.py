"""A report's pictures as SVG and PNG. The same picture gives the same bytes: no dates, no random ids.

Text comes from rows too (class names). It is drawn as outlines and never as markup: no mathematics between dollar
signs, no control characters, nothing longer than a line.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from influence.contracts.evaluation.report import Picture, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES, HEIGHT_INCHES = 7.6, 4.4
DOTS_PER_INCH = 120
#: Told apart by people who do not see red and green alike, and in print.
COLOURS = ("#0b6e99", "#c2571a", "#4b8b3b", "#7a4fa3", "#b8356b", "#8a6d1f", "#4a5560", "#16a3a3")
_MARKERS = "osD^vPX*"
#: From here on bars lie, so that their names can be read.
_UPRIGHT_BARS, _UPRIGHT_CHARACTERS = 8, 14
_MAX_CHARACTERS, _MAX_TITLE_CHARACTERS = 60, 80
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "datainf",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def with_interval(label: str, x: Sequence[float | str], figures: Sequence[Mapping[str, Any]], value: str) -> Series:
    """A series with an interval from the figures at each x: the value under that name, its ends as `low` and `high`."""
    y, low, high = (tuple(at_x[name] for at_x in figures) for name in (value, "low", "high"))
    return Series(label=label, x=tuple(x), y=y, low=low, high=high)


def curves(figures: Mapping[str, Mapping[str, Any]], x: Sequence[int], value: str) -> tuple[Series, ...]:
    """A series with intervals for each of `figures`, which are by its label and then by x as JSON names it."""
    return tuple(with_interval(label, x, [by_x[str(at)] for at in x], value) for label, by_x in figures.items())


def draw_svg(picture: Picture) -> bytes:
    """The picture as SVG."""
    return _render(picture, "svg", {"Date": None, "Creator": None})


def draw_png(picture: Picture) -> bytes:
    """The picture as PNG, at DOTS_PER_INCH."""
    return _render(picture, "png", {"Software": None})


def _render(picture: Picture, file_format: str, metadata: dict[str, Any]) -> bytes:
    # Takes half a second and 30 MB, and most workers never draw.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        _draw(figure.add_subplot(), picture)
        figure.savefig(buffer, format=file_format, metadata=metadata)
    return buffer.getvalue()


def _draw(axes: "Axes", picture: Picture) -> None:
    axes.set_title(printable(picture.title, _MAX_TITLE_CHARACTERS), loc="left")
    axes.set_xlabel(printable(picture.x_label))
    axes.set_ylabel(printable(picture.y_label))
    with _legend(axes, picture.series) as handles:
        if picture.kind == "bars":
            _draw_bars(axes, picture.series, handles)
        else:
            is_scattered = picture.kind == "points"
            handles += [
                _draw_line(axes, series, number, is_scattered=is_scattered)
                for number, series in enumerate(picture.series)
            ]


@contextmanager
def _legend(axes: "Axes", series: Sequence[Series]) -> Iterator[list[Any]]:
    """Collects what is drawn, and says below the picture which is which where there is more than one."""
    handles: list[Any] = []
    yield handles
    if len(series) > 1:
        names = [printable(one.label) for one in series]
        axes.figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 4))


def _draw_line(axes: "Axes", series: Series, number: int, *, is_scattered: bool) -> Any:
    colour, marker = COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)]
    every = 1 if is_scattered else max(1, len(series.x) // 12)
    style: dict[str, Any] = {"linestyle": "none"} if is_scattered else {"linewidth": 1.6}
    x = [printable(value) if isinstance(value, str) else value for value in series.x]
    (line,) = axes.plot(x, series.y, color=colour, marker=marker, markevery=every, markersize=4.5, **style)
    if series.low is not None and series.high is not None:
        axes.fill_between(x, series.low, series.high, color=colour, alpha=0.15, linewidth=0)
    return line


def _draw_bars(axes: "Axes", drawn: Sequence[Series], handles: list[Any]) -> None:
    """Groups of bars, one group a name; many or long names stand on the left and the bars lie."""
    names = list(dict.fromkeys(str(name) for series in drawn for name in series.x))
    upright = len(names) <= _UPRIGHT_BARS and max(map(len, names), default=0) <= _UPRIGHT_CHARACTERS
    thickness = 0.8 / len(drawn)
    for number, series in enumerate(drawn):
        places = np.array([names.index(str(name)) for name in series.x]) + (number - (len(drawn) - 1) / 2) * thickness
        ends = _error_bars(series)
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "ecolor": "#333333", "capsize": 2.5}
        if upright:
            handles.append(axes.bar(places, series.y, thickness, yerr=ends, **style))
        else:
            handles.append(axes.barh(places, series.y, thickness, xerr=ends, **style))
    _name_bars(axes, [printable(name) for name in names], upright=upright)


def _name_bars(axes: "Axes", names: Sequence[str], *, upright: bool) -> None:
    places = range(len(names))
    if upright:
        axes.set_xticks(places, names)
        axes.grid(visible=False, axis="x")
        return
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    x_label, y_label = axes.get_xlabel(), axes.get_ylabel()
    axes.set_xlabel(y_label)
    axes.set_ylabel(x_label)


def _error_bars(series: Series) -> Any:
    """Distances (2, n) from the bars to the ends of their intervals."""
    if series.low is None or series.high is None:
        return None
    values = np.asarray(series.y)
    return np.clip(np.stack([values - np.asarray(series.low), np.asarray(series.high) - values]), 0, None)


def printable(text: object, limit: int = _MAX_CHARACTERS) -> str:
    """One line that can be drawn: other characters become a replacement mark; a leading '_' would hide a label."""
    line = "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in str(text))
    line = line if len(line) <= limit else f"{line[: limit - 1]}…"
    return f" {line}" if line.startswith("_") else line
