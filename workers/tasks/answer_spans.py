"""The loss on a part of the answer: which of a row's labels stay."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from influence.errors import RowMasked, RowsUnfit
from influence.rows.conversations.answers import answer_text
from workers.rows import IGNORED, EncodedRow, Row
from workers.tasks.encoding import Span
from workers.tasks.refusals import id_of, refuse_rows

NO_CHARACTERS = "the tokenizer cannot say which characters a token stands for"


def refuse_short(rows: Sequence[Row], span: Span) -> None:
    """Raise RowsUnfit naming rows whose answer ends before the span does."""
    if short := [id_of(row) for row in rows if len(answer_text(row) or "") < span.stop]:
        refuse_rows(
            RowsUnfit,
            short,
            f"whose answer ends before character {span.stop}",
            hint="Let 'target.span' lie inside every answer that is asked about.",
        )


def narrow_labels(encoded: Sequence[EncodedRow], parts: Sequence[Sequence[bool]]) -> list[EncodedRow]:
    """Encoded rows with the loss on the tokens (T) that `parts` marks, and on no other. Raises RowMasked."""
    narrowed = [_narrow(row, part) for row, part in zip(encoded, parts, strict=True)]
    if masked := [row.row_id for row in narrowed if all(label == IGNORED for label in row.labels)]:
        refuse_rows(
            RowMasked,
            masked,
            "without a token of 'target.span' that carries loss",
            hint="The span may have been cut off by max_length, or hold nothing but space; choose another.",
        )
    return narrowed


def _narrow(row: EncodedRow, part: Sequence[bool]) -> EncodedRow:
    ids = row.inputs["input_ids"] if "decoder_input_ids" not in row.inputs else row.labels
    return replace(row, labels=[token if kept else IGNORED for token, kept in zip(ids, part, strict=False)])


def refuse_unknown(row: Row, reason: str) -> NoReturn:
    """Raise RowsUnfit for a row whose tokens cannot be told apart by their characters."""
    refuse_rows(
        RowsUnfit,
        [id_of(row)],
        f"in which the span cannot be found: {reason}",
        hint="Leave 'target' out: the loss on the whole answer needs no characters.",
    )
