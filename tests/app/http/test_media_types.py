"""Which form an answer takes: the whole of `Accept`, weights and wildcards included."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.media_types import negotiate
from influence.errors import NotAcceptable

JSON, PARQUET, MARKDOWN = "application/json", "application/vnd.apache.parquet", "text/markdown"
OFFERED = (JSON, PARQUET, MARKDOWN)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/*", MARKDOWN),
        ("application/*", JSON),
        (PARQUET, PARQUET),
        ("Application/VND.Apache.Parquet ; q=1", PARQUET),
        (f"{JSON};q=0.2, {PARQUET};q=0.7", PARQUET),
        (f"{PARQUET};q=0.1, */*;q=0.5", JSON),
        (f"{JSON};q=0, */*", PARQUET),
        (f"application/*;q=0.3, {PARQUET};q=0.3, {MARKDOWN};q=0.2", PARQUET),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
        (f"text/html, {MARKDOWN}", MARKDOWN),
        (f"{MARKDOWN};charset=utf-8;q=0.9, {JSON};q=0.8", MARKDOWN),
        (f"{MARKDOWN}, */*", MARKDOWN),
    ],
)
def test_the_best_of_what_is_offered_is_taken(accept: str, expected: str) -> None:
    assert negotiate(accept, OFFERED) == expected


@pytest.mark.parametrize(
    "accept", ["image/png", "text/html, image/*;q=0.5", "*/*;q=0", f"{JSON};q=0", f"{PARQUET};q=0"]
)
def test_what_nothing_fits_is_refused_with_what_there_is(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiate(accept, OFFERED)
    assert caught.value.status == 406
    assert caught.value.extra["offered"] == list(OFFERED)
    assert all(name in caught.value.hint for name in OFFERED)


@pytest.mark.parametrize(
    "accept",
    [",", ";;;", "json", "*/json", f"{PARQUET};q=2", f"{PARQUET};q=much", f"{PARQUET};q=0.1234", f"x{PARQUET}x y/z"],
)
def test_what_cannot_be_read_says_nothing(accept: str) -> None:
    assert negotiate(accept, OFFERED) == JSON
    assert negotiate(f"{accept}, {MARKDOWN};q=0.1", OFFERED) == MARKDOWN


@given(st.text())
def test_any_header_gets_an_offered_type_or_a_refusal(accept: str) -> None:
    with suppress(NotAcceptable):
        assert negotiate(accept, OFFERED) in OFFERED
