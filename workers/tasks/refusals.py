"""Refusing rows by name: every task says in the same way which rows, how many and what to do."""

from collections.abc import Sequence
from typing import NoReturn

from influence.errors import RowsRefused
from workers.rows import Row

#: Row ids spelt out in the sentence and in `extra`; a data set may have a million bad rows.
_IDS_IN_DETAIL, _IDS_IN_EXTRA = 5, 100


def id_of(row: Row) -> str:
    """The id of a row for a sentence."""
    return str(row.get("id", "?"))


def refuse_rows(kind: type[RowsRefused], row_ids: Sequence[str], what: str, *, hint: str) -> NoReturn:
    """Raise `kind` naming the first rows; `extra` has `rows` (how many) and `row_ids` (the first hundred)."""
    named = ", ".join(row_ids[:_IDS_IN_DETAIL]) + (", ..." if len(row_ids) > _IDS_IN_DETAIL else "")
    raise kind(
        f"{len(row_ids)} {'row' if len(row_ids) == 1 else 'rows'} {what}: {named}.",
        hint=hint,
        extra={"rows": len(row_ids), "row_ids": list(row_ids[:_IDS_IN_EXTRA])},
    )
