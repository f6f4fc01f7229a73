"""A finished evaluation: printed as tables, and written to a folder."""

import json
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from cli.client.service import Service
from cli.printing.output import Output
from cli.printing.text import plain
from influence.contracts.common import Json
from influence.contracts.evaluation import Evaluation, Report, Table
from influence.errors import InvalidRequest
from influence.reporting.tables import is_number_column, text_table

PICTURE_ENDINGS = ("svg", "png")


def show_report(report: Report, console: Console) -> None:
    """Print the tables, then what they mean."""
    for table in report.tables:
        console.print(make_table(table))
        if table.note:
            console.print(Text(plain(table.note), "dim"))
    for sentence in report.reading:
        console.print(Text(f"• {plain(sentence)}"))


def make_table(table: Table) -> RichTable:
    """A report's table; names in it are plain text."""
    columns, rows = text_table(table)
    made = RichTable(title=Text(plain(table.title)), title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(Text(plain(column)), justify="right" if is_number_column(table, column) else "left")
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def make_folder(folder: Path) -> None:
    """Raises InvalidRequest where a report could not be written: known before hours of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"--out {folder} is no folder: {error.strerror}.", hint="Name another folder.") from error


def write_report(service: Service, found: Json, folder: Path, output: Output) -> None:
    """Write report.json, report.md and every picture as SVG and PNG."""
    evaluation = Evaluation.model_validate(found)
    path = f"/v1/evaluations/{quote(evaluation.id, safe='')}"
    (folder / "report.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_bytes(service.fetch(f"{path}/report.md"))
    pictures = () if evaluation.report is None else evaluation.report.pictures
    names = [f"{picture.name}.{ending}" for picture in pictures for ending in PICTURE_ENDINGS]
    for name in names:
        (folder / name).write_bytes(service.fetch(f"{path}/pictures/{name}"))
    output.note(f"Written to {folder}: report.json, report.md{''.join(f', {name}' for name in names)}")
