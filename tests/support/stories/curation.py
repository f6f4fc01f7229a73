"""Rows of two sources, and rows whose labels are trusted."""

from support.rows import make_ticket_rows

ROWS = [
    {**row, "source": "crawl" if at % 4 == 0 else "forms", "visits": at} for at, row in enumerate(make_ticket_rows(48))
]
EVALUATION = make_ticket_rows(10, seed=9)
