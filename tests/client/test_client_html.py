"""An answer in a notebook: rows of strangers stay text."""

from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from datainf_client.generated.models import Query
from datainf_client.tables.html import query_html

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></table><iframe src=javascript:alert(1)>",
    '" onmouseover="alert(1)',
    "a\u202eb\x00\x1b[2J",
    "<!-- <style>*{display:none}</style>",
)
_ALLOWED = {"div", "p", "b", "bdi", "table", "caption", "tr", "th", "td"}


class Marks(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def make_query(text: str) -> Query:
    row = {
        "rank": 1,
        "row_index": 0,
        "row_id": text,
        "row": {"text": text, "label": text},
        "metadata": {text: text},
        "label": text,
        "influence": -1.0,
        "score": 1.0,
        "direction": "helpful",
        "percentile": 50.0,
        "exact": True,
    }
    result: dict[str, Any] = {
        "example": {"text": text},
        "loss": 0.5,
        "predicted_label": text,
        "prediction": text,
        "helpful": [row],
        "harmful": [{**row, "row": {"messages": [{"role": text, "content": text}]}, "direction": text}],
        "histogram": {"hist": [1], "bin_edges": [0.0, 1.0]},
        "summary": {},
    }
    return Query.model_validate(
        {
            "id": text,
            "index_id": "idx_1",
            "job_id": "job_1",
            "state": "succeeded",
            "request": {},
            "method": text,
            "sign_convention": text,
            "results": [result],
            "notes": [text],
            "created_at": "2026-01-01T00:00:00Z",
        }
    )


def assert_harmless(html: str) -> None:
    marks = Marks(html)
    assert {tag for tag, _ in marks.tags} <= _ALLOWED
    assert all(name == "style" and "url" not in (value or "") for _, attrs in marks.tags for name, value in attrs)
    assert not [letter for letter in html if letter in "\u202e\x00\x1b"]


def test_markup_in_rows_is_shown_as_text() -> None:
    for text in HOSTILE:
        assert_harmless(query_html(make_query(text)))
    assert HOSTILE[0] in Marks(query_html(make_query(HOSTILE[0]))).text


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    assert_harmless(query_html(make_query(text)))


def test_an_answer_that_is_not_there_yet_says_so() -> None:
    pending = make_query("<b>").model_copy(update={"results": None, "state": "running"})
    assert "running" in query_html(pending)
    assert_harmless(query_html(pending))


def test_long_answers_are_cut() -> None:
    query = make_query("x" * 5000)
    assert query.results is not None
    query.results *= 100
    html = query_html(query)
    assert "80 more test points" in html
    assert len(html) < 200_000
