"""A finished evaluation, printed as tables."""

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from cli.printing.text import plain
from influence.contracts.evaluation.report import Report, Table
from influence.reporting.tables import is_number_column, text_table


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
