"""An answered query as static HTML. Everything in a row was written by strangers: it is escaped, and no script runs."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from datainf_client.generated.models import Query, ScoredRow, TestPointResult
from datainf_client.text import count, plain

_SHOWN_POINTS = 20
_SHOWN_ROWS = 50
_TEXT_CHARACTERS = 400
_TITLES = {
    "helpful": "Most helpful: training on these lowered the loss",
    "harmful": "Most harmful: training on these raised the loss",
    "absolute": "Strongest either way",
}
_LEFT = "text-align:left"
_MARKS = {"helpful": "#1a7f37", "harmful": "#b42318"}


def query_html(query: Query) -> str:
    """Every test point with its rankings, or how far the work is."""
    head = f"<p><b>{_safe(query.id)}</b> · {_safe(query.method)} · {_safe(query.sign_convention)}</p>"
    if query.results is None:
        return f"<div>{head}<p>{_safe(query.state)}: call .wait()</p></div>"
    points = "".join(_point(number, result) for number, result in enumerate(query.results[:_SHOWN_POINTS], 1))
    left = len(query.results) - _SHOWN_POINTS
    more = f"<p>{left} more test points: see .to_pandas()</p>" if left > 0 else ""
    notes = "".join(f"<p>{_safe(note)}</p>" for note in query.notes)
    return f"<div>{head}{points}{more}{notes}</div>"


def _point(number: int, result: TestPointResult) -> str:
    facts = [f"loss {result.loss:.4g}"]
    if result.predicted_label is not None:
        facts.append(f"the model says {_safe(result.predicted_label)}")
    if result.prediction is not None:
        facts.append(f"the model writes {_safe(result.prediction)}")
    title = f"<p><b>Test point {number}</b>: {_safe(row_words(result.example))} ({', '.join(facts)})</p>"
    rankings = ((name, getattr(result, name)) for name in _TITLES)
    return title + "".join(_ranking(name, rows) for name, rows in rankings if rows)


def _ranking(name: str, rows: Sequence[ScoredRow]) -> str:
    heads = "".join(f'<th style="{_LEFT}">{head}</th>' for head in ("score", "direction", "row", "label", "text"))
    lines = "".join(f"<tr>{''.join(_cells(row))}</tr>" for row in rows[:_SHOWN_ROWS])
    left = len(rows) - _SHOWN_ROWS
    more = f"<p>{count(left)} more rows: see .to_pandas()</p>" if left > 0 else ""
    return f"<table><caption>{_TITLES[name]}</caption><tr>{heads}</tr>{lines}</table>{more}"


def _cells(row: ScoredRow) -> Iterator[str]:
    colour = _MARKS.get(row.direction, "inherit")
    label = "" if row.label is None else row.label
    yield f"<td>{row.score:+.4g}</td>"
    yield f'<td style="{_LEFT};color:{colour}">{_safe(row.direction)}</td>'
    for value in (row.row_id, label, row_words(row.row)):
        yield f'<td style="{_LEFT}">{_safe(value)}</td>'


def row_words(row: Mapping[str, Any]) -> str:
    """The words of a row of any kind."""
    if isinstance(messages := row.get("messages"), list):
        turns = (turn for turn in messages if isinstance(turn, Mapping))
        return " / ".join(f"{turn.get('role', '?')}: {turn.get('content', '')}" for turn in turns)
    if "prompt" in row:
        return f"{row['prompt']} -> {row.get('completion', '')}"
    if isinstance(tokens := row.get("tokens"), list):
        return " ".join(map(str, tokens))
    if "text" in row:
        return " / ".join(str(row[name]) for name in ("text", "text_pair") if name in row)
    return ", ".join(f"{name}: {value}" for name, value in row.items())


def _safe(value: object) -> str:
    """Text that stays text: no markup, no control characters, and writing of the other direction in its own place."""
    return f"<bdi>{escape(plain(value, _TEXT_CHARACTERS))}</bdi>"
