"""Pictures: the same bytes each time, and text that is only ever drawn."""

import struct
import xml.etree.ElementTree as ElementTree

import pytest

from influence.contracts.evaluation.report import Picture, Series
from workers.evaluating.pictures import DOTS_PER_INCH, WIDTH_INCHES, draw_png, draw_svg, printable

HOSTILE = "<script>$\\frac{1}{0}$ & ]]> -->\x00\x1b[31m\u202e_ " + "x" * 200


def bars(names: tuple[str, ...], *labels: str) -> Picture:
    values = tuple(0.5 + place / 100 for place in range(len(names)))
    low, high = tuple(value - 0.1 for value in values), tuple(value + 0.2 for value in values)
    series = tuple(Series(label=label, x=names, y=values, low=low, high=high) for label in labels)
    return Picture(name="bars", title="Bars", x_label="method", y_label="AUC", kind="bars", series=series)


LINES = Picture(
    name="lines",
    title="Lines",
    x_label="rows looked at",
    y_label="found",
    series=(
        Series(label="datainf", x=(0.0, 0.5, 1.0), y=(0.0, 0.8, 1.0), low=(0.0, 0.7, 1.0), high=(0.0, 0.9, 1.0)),
        Series(label="exact", x=(0.0, 0.5, 1.0), y=(0.0, 0.6, 1.0)),
    ),
)
PICTURES = [
    LINES,
    bars(("datainf", "exact"), "completion", "prompt"),
    bars(tuple(f"class {n}" for n in range(20)), "a"),
]


@pytest.mark.parametrize("picture", PICTURES, ids=["lines", "upright bars", "lying bars"])
def test_the_same_picture_is_the_same_bytes(picture: Picture) -> None:
    assert draw_svg(picture) == draw_svg(picture)
    png = draw_png(picture)
    assert png == draw_png(picture)
    width, _ = struct.unpack(">II", png[16:24])
    assert width == round(WIDTH_INCHES * DOTS_PER_INCH)


@pytest.mark.parametrize(
    "picture",
    [
        bars((HOSTILE, "a", "b"), HOSTILE, "_hidden"),
        LINES.model_copy(update={"title": HOSTILE, "x_label": HOSTILE, "y_label": HOSTILE}),
    ],
    ids=["bars", "lines"],
)
def test_text_of_strangers_is_drawn_and_never_markup(picture: Picture) -> None:
    svg = draw_svg(picture)
    assert b"<script" not in svg
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {
        "svg",
        "metadata",
        "RDF",
        "Work",
        "type",
        "format",
        "defs",
        "style",
        "g",
        "path",
        "use",
        "clipPath",
        "rect",
    }
    assert draw_png(picture).startswith(b"\x89PNG")


def test_a_label_is_one_printable_line_and_is_not_hidden() -> None:
    assert printable("_a\nb\x00") == " _a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert len(printable(HOSTILE)) == 60
