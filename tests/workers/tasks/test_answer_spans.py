"""Where the characters of an answer lie in what the model reads."""

from typing import Any

import pytest
from support.uploads.chat_tasks import CHATML, MARKED, REWRITING, TALK, make_task

from influence.errors import RowMasked, RowsUnfit
from workers.rows import IGNORED
from workers.tasks.encoding import Span
from workers.tasks.supervision import Supervisor

TRIMMING = CHATML.replace("message['content'] }}", "message['content'] | trim }}")
PADDED = [*TALK[:-1], {"role": "assistant", "content": "  because  "}]
OPEN = [*TALK, {"role": "user", "content": "really because?"}]


def words_of(task: Any, row: dict[str, Any], span: Span) -> str:
    """The text of the tokens that keep their loss: one token is one byte here."""
    (encoded,) = task.tokenise_span([{"id": "r", **row}], span)
    ids = [token for token, label in zip(encoded.inputs["input_ids"], encoded.labels, strict=True) if label != IGNORED]
    return str(task._encoder.decode(ids))


@pytest.mark.parametrize(
    ("template", "messages", "span", "words"),
    [
        (CHATML, TALK, Span(2, 5), "cau"),
        (MARKED, TALK, Span(0, 7), "because"),
        (TRIMMING, PADDED, Span(2, 5), "bec"),
        (CHATML, PADDED, Span(1, 4), " be"),
        (CHATML, OPEN, Span(2, 5), "cau"),
    ],
)
def test_a_part_of_the_last_assistant_turn(template: str, messages: Any, span: Span, words: str) -> None:
    assert words_of(make_task(template=template), {"messages": messages}, span) == words


@pytest.mark.parametrize("scope", [None, "all"])
def test_a_part_of_a_completion(scope: Any) -> None:
    assert words_of(make_task(scope=scope), {"prompt": "ab", "completion": "abcd"}, Span(1, 3)) == "bc"


def test_the_first_token_of_a_text_is_never_predicted() -> None:
    assert words_of(make_task(), {"text": "abcd"}, Span(0, 3)) == "bc"
    with pytest.raises(RowMasked, match=r"target\.span"):
        make_task().tokenise_span([{"id": "r", "text": "abcd"}], Span(0, 1))


def test_a_part_that_was_cut_off_is_refused_by_name() -> None:
    with pytest.raises(RowMasked, match="r9"):
        make_task(limit=5).tokenise_span([{"id": "r9", "prompt": "a", "completion": "bcdefgh"}], Span(5, 6))


@pytest.mark.parametrize(
    ("template", "messages"),
    [
        (REWRITING, OPEN),
        (CHATML.replace("message['content'] }}", "message['content'] | upper }}"), TALK),
        (CHATML, TALK[:1]),
    ],
)
def test_a_turn_that_cannot_be_found_is_refused(template: str, messages: Any) -> None:
    with pytest.raises(RowsUnfit, match="r7"):
        make_task(template=template, scope="all").tokenise_span([{"id": "r7", "messages": messages}], Span(0, 2))


def test_spans_go_with_ids_whatever_ends_the_text() -> None:
    task = make_task()
    for row in ({"text": "ab"}, {"prompt": "a", "completion": "b"}):
        found = Supervisor(task._encoder, None).encode({"id": "r", **row})
        assert found.spans is not None
        assert [(span.start, span.stop) for span in found.spans] == [(0, 1), (1, 2), (2, 2)]
