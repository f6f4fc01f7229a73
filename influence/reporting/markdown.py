"""A report as Markdown. Names come from strangers' rows: they are text here, never markup."""

import re
from collections.abc import Iterator, Sequence

from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Report, Table
from influence.reporting.tables import is_number_column, text_table

#: Characters that mean something in Markdown or in the HTML within it.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def to_markdown(evaluation: Evaluation, report: Report) -> str:
    """Heading, reading, tables and pictures, in that order; pictures are linked below the folder `pictures`
    beside it, where the API and the command line have them."""
    return "\n".join([*_head(evaluation), *_reading(report), *_tables(report.tables), *_pictures(report)])


def _head(evaluation: Evaluation) -> Iterator[str]:
    yield f"# {plain_text(evaluation.request.kind)}"
    yield ""
    base = evaluation.subject.base_model
    model = "a small model made from the rows" if base is None else plain_text(base.name)
    yield f"`{evaluation.id}` · rows `{evaluation.subject.dataset_id}` · base model: {model}"
    yield ""


def _reading(report: Report) -> Iterator[str]:
    for sentence in report.reading:
        yield f"* {plain_text(sentence)}"
    yield ""


def _tables(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        yield f"## {plain_text(table.title)}"
        yield ""
        yield from _table(table)
        yield ""
        if table.note:
            yield plain_text(table.note)
            yield ""


def _table(table: Table) -> Iterator[str]:
    columns, rows = text_table(table)
    yield _line([plain_text(column) for column in columns])
    yield _line(["---:" if is_number_column(table, column) else "---" for column in columns])
    for row in rows:
        yield _line([plain_text(cell) for cell in row])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pictures(report: Report) -> Iterator[str]:
    for picture in report.pictures:
        yield f"![{plain_text(picture.title)}](pictures/{picture.name}.svg)"
        yield ""


def plain_text(text: str) -> str:
    """One line that starts no markup, whatever it holds."""
    line = "".join(mark if mark.isprintable() else " " for mark in text)
    return _MARKUP.sub(r"\\\1", line)
