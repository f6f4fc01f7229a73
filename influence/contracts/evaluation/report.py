"""What an evaluation found: tables, pictures as data, and a reading in sentences."""

from typing import Annotated, Literal

from pydantic import Field

from influence.contracts.common import Frozen, Json

Cell = float | int | str | None
#: Names of tables and pictures are parts of file names.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Table(Frozen):
    """One table of a report. Every row is as long as `columns`.

    Columns called `x low` and `x high` right behind a column `x` are the ends of its interval and shown with it.
    """

    name: Name
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str | None = None


class Series(Frozen):
    """One line or bar series of a picture; `low` and `high` are the ends of an interval at each x."""

    label: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


class Picture(Frozen):
    """What a report draws, as data; `kind` bars take text for x."""

    name: Name
    title: str
    x_label: str
    y_label: str
    kind: Literal["lines", "bars", "points"] = "lines"
    series: tuple[Series, ...]


class Report(Frozen):
    """What an evaluation found. `reading` says in sentences what follows, and what does not."""

    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...] = ()
    reading: tuple[str, ...] = ()
    figures: Json = Field({}, description="Numbers for programs: intervals, seeds, what each piece measured.")
