"""Pieces of a conversation's text that a trainer encoded apart, as its template marks them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from influence.checkpoint_files.adapters.trainer_templates.jinja import APART, MUTED, WITH_LOSS, WITHOUT_LOSS
from workers.tasks.chat.conversation import Conversation
from workers.tasks.chat.writing import UnknownMask, write_text
from workers.tasks.encoding import Span, TextEncoder, TokenisedText

#: Characters that Unicode keeps for private use, in the marks' places, to find them in what is written.
_SHOWN = {APART: "\ue0b0", WITH_LOSS: "\ue0b1", WITHOUT_LOSS: "\ue0b2", MUTED: "\ue0b3"}
_ANY = re.compile(f"([{''.join(_SHOWN.values())}])")


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters of the text. `carries_loss` is None where the template leaves that to its turns. What `is_muted` has
    no loss wherever else it falls."""

    span: Span
    carries_loss: bool | None
    is_muted: bool = False


def read_pieces(encoder: TextEncoder, conversation: Conversation, text: str) -> list[Piece]:
    """The pieces of a conversation's text; none where its template has no marks. Raises UnknownMask."""
    template = encoder.template_for(conversation.context.get("tools"))
    if not any(mark in template for mark in _SHOWN):
        return []
    parts = _ANY.split(write_text(encoder, conversation, edit=_show))
    if parts[0] + "".join(parts[2::2]) != text:
        raise UnknownMask("it has characters by which pieces of the text are told apart (U+E0B0 to U+E0B3)")
    marked = zip([_SHOWN[APART], *parts[1::2]], parts[::2], strict=True)
    found: list[Piece] = []
    place = 0
    for mark, part in marked:
        carries = None if mark == _SHOWN[APART] else mark == _SHOWN[WITH_LOSS]
        if part:
            found.append(Piece(Span(place, place + len(part)), carries, mark == _SHOWN[MUTED]))
        place += len(part)
    return found


def join_alike(pieces: Sequence[Piece], carries: Callable[[Piece], bool]) -> list[Piece]:
    """Neighbours that both carry loss, or both carry none, as one piece: so they were encoded."""
    found: list[Piece] = []
    for piece in pieces:
        with_loss = carries(piece)
        if found and found[-1].carries_loss == with_loss:
            found[-1] = Piece(Span(found[-1].span.start, piece.span.stop), with_loss)
        else:
            found.append(Piece(piece.span, with_loss))
    return found


def encode_apart(encoder: TextEncoder, text: str, pieces: Sequence[Piece]) -> tuple[TokenisedText, list[bool]]:
    """Ids of the pieces one after the other, and which of them carry loss by the pieces' own marks."""
    ids: list[int] = []
    spans: list[Span] | None = []
    marks: list[bool] = []
    for piece in pieces:
        start = piece.span.start
        found = encoder.encode(text[start : piece.span.stop], special_tokens=False)
        ids += found.ids
        marks += [bool(piece.carries_loss)] * len(found.ids)
        if spans is not None and found.spans is not None:
            spans += [Span(start + span.start, start + span.stop) for span in found.spans]
        else:
            spans = None
    return TokenisedText(ids, spans), marks


def _show(template: str) -> str:
    for mark, shown in _SHOWN.items():
        template = template.replace(mark, shown)
    return template
