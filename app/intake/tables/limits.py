"""How much of an untrusted table is taken, and the counting that holds it to that."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from influence.errors import BrokenRow, EmptyFile, TooLarge
from influence.rows.images.limits import ImageLimits

Source = dict[str, Any]

#: So many more blank lines than others a text file may have.
MAX_BLANK_LINES = 100_000
#: Row groups of a Parquet file: a few whatever they hold, more where they hold so many rows each.
FREE_ROW_GROUPS, ROWS_PER_GROUP = 1000, 100


@dataclass(frozen=True, slots=True)
class TableLimits:
    """Limits of one data set. `max_bytes` holds for the file and again for what it expands to."""

    max_bytes: int = 2 << 30
    max_rows: int = 10_000_000
    max_row_bytes: int = 4 << 20
    max_columns: int = 1000
    images: ImageLimits = field(default_factory=ImageLimits)

    def with_images(self) -> "TableLimits":
        """The same for a table of which every row has an image in it."""
        return replace(self, max_row_bytes=self.max_row_bytes + self.images.max_bytes)


def count_rows(rows: Iterable[Source], limits: TableLimits) -> Iterator[Source]:
    """Pass rows through. Raises TooLarge past `max_rows` and EmptyFile where there are none."""
    count = 0
    for row in rows:
        count += 1
        if count > limits.max_rows:
            refuse_size(f"more than {limits.max_rows} rows", limits)
        yield row
    if not count:
        raise EmptyFile("The file holds no rows.", hint="Send a file with at least one row.")


@dataclass
class BlankLines:
    """Counts the lines of a text file. Raises TooLarge where far more of them are blank than hold anything.

    They cost nothing to send, compressed, and as much to read as rows do.
    """

    limits: TableLimits
    blank: int = 0
    filled: int = 0

    def count(self, line: bytes) -> bool:
        """Whether a line is blank."""
        if line.strip():
            self.filled += 1
            return False
        self.blank += 1
        if self.blank > self.filled + MAX_BLANK_LINES:
            refuse_size(f"{MAX_BLANK_LINES:,} blank lines more than rows", self.limits)
        return True


def check_columns(columns: Sequence[str] | Mapping[str, Any], limits: TableLimits, where: str) -> None:
    """Raise TooLarge for more columns than a table may have."""
    if len(columns) > limits.max_columns:
        refuse_size(f"{len(columns)} columns ({where})", limits)


def refuse_size(what: str, limits: TableLimits) -> NoReturn:
    """Raise TooLarge with the limits in `extra`."""
    raise TooLarge(
        f"The data set has {what}, more than this service takes.",
        hint="Send fewer or shorter rows, or ask the operator to raise the limits.",
        extra={
            "max_bytes": limits.max_bytes,
            "max_rows": limits.max_rows,
            "max_row_bytes": limits.max_row_bytes,
            "max_columns": limits.max_columns,
        },
    )


def refuse_line(line: int, reason: str, hint: str) -> NoReturn:
    """Raise BrokenRow for a line of a text file, counted from 1."""
    raise BrokenRow(f"Line {line}: {reason}.", hint=hint, extra={"line": line})
