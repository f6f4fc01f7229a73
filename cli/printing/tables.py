"""Answers as tables. Everything that stands in a row was written by strangers and is shown as plain text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.printing.text import count, label_text, plain
from influence.contracts.query import Query, ReadText, ScoredRow, TestPointResult

_TEXT_CHARACTERS = 240
_QUESTION_CHARACTERS = 1000
_COLOURS = {"helpful": "green", "harmful": "red"}
_TITLES = {
    "helpful": "Most helpful: training on these lowered the loss",
    "harmful": "Most harmful: training on these raised the loss",
    "absolute": "Strongest either way",
}
_LABELS = {"id", "label"}
#: Tokens and weight tensors that are named of a row.
_STRONGEST = 5


def show_query(query: Query, console: Console) -> None:
    """Print every test point with its rankings."""
    for number, result in enumerate(query.results or (), 1):
        console.print(question_panel(result, number, query))
        for title, rows in _rankings(result):
            console.print(ranking_table(title, rows))
        for compared in result.compared or ():
            title = f"What {plain(compared.method)} would have shown; {compared.overlap:.0%} are among the most helpful"
            console.print(ranking_table(title, compared.rows))
    console.print(Text(describe(query), "dim"))


def describe(query: Query) -> str:
    """One line about how the answer came about."""
    parts = [plain(query.id), f"method {plain(query.method)}", plain(query.sign_convention)]
    if query.rows_scored is not None:
        parts.append(f"{count(query.rows_scored)} rows scored")
    if query.milliseconds:
        total = query.milliseconds.get("total", sum(query.milliseconds.values()))
        parts.append(f"{total:.0f} ms")
    if query.checkpoints:
        terms = ", ".join(f"{plain(summed.index_id)} x {summed.weight:g}" for summed in query.checkpoints)
        parts.append(f"summed over {terms}")
    if query.method_reason is not None:
        parts.append(plain(query.method_reason, 200))
    return " · ".join([*parts, *(plain(note, 200) for note in query.notes)])


def question_panel(result: TestPointResult, number: int, query: Query) -> RenderableType:
    """What was asked and what the model makes of it."""
    lines = [Text(row_text(result.example, _QUESTION_CHARACTERS))]
    facts = [f"loss {result.loss:.4g}"]
    if result.base_loss is not None:
        facts.append(f"{result.base_loss:.4g} without the adapter")
    if result.target_text is not None:
        lines.append(Text(f"Asked about: {plain(result.target_text, _QUESTION_CHARACTERS)}"))
    if result.against_loss is not None:
        lines.append(Text(f"And not: {plain(query.request.against, _QUESTION_CHARACTERS)}"))
        facts.append(f"its loss {result.against_loss:.4g}")
    if "label" in result.example:
        facts.insert(0, f"label {label_text(result.example['label'], 80)}")
    if result.predicted_label is not None:
        sure = "" if result.predicted_probability is None else f" ({result.predicted_probability:.0%})"
        facts.append(f"the model says {label_text(result.predicted_label, 80)}{sure}")
    if result.prediction is not None:
        lines.append(Text(f"The model writes: {plain(result.prediction, _QUESTION_CHARACTERS)}"))
    if result.tokens is not None:
        lines.append(Text(f"Most loss: {strongest(result.tokens, result.tokens.losses)}"))
    if result.stands_out is False:
        facts.append("no row stands out")
    lines.append(Text(" · ".join(facts), "bold"))
    title = "Mean of the test points" if query.request.aggregate == "mean" else f"Test point {number}"
    return Panel(Group(*lines), title=title, title_align="left")


def _rankings(result: TestPointResult) -> list[tuple[str, Sequence[ScoredRow]]]:
    rankings = (("helpful", result.helpful), ("harmful", result.harmful), ("absolute", result.absolute))
    return [(name, rows) for name, rows in rankings if rows]


def ranking_table(name: str, rows: Sequence[ScoredRow]) -> Table:
    """One ranking; the direction is a word as well as a colour."""
    title, style = _TITLES.get(name, name), _COLOURS.get(name, "bold")
    table = Table(title=title, title_justify="left", title_style=style, expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("direction", no_wrap=True)
    table.add_column("row", no_wrap=True, max_width=20)
    table.add_column("label", max_width=24)
    if has_levels := any(row.influence_level for row in rows):
        table.add_column("level", no_wrap=True)
    table.add_column("text", ratio=1)
    for row in rows:
        label = "" if row.label is None else label_text(row.label, 80)
        level = [Text(row.influence_level or "")] if has_levels else []
        table.add_row(
            str(row.rank),
            score_text(row.score),
            Text(row.direction, _COLOURS[row.direction]),
            Text(plain(row.row_id, 40)),
            Text(label),
            *level,
            _row_cell(row),
        )
    return table


def _row_cell(row: ScoredRow) -> Text:
    """The words of a row, and under them what its strongest tokens and weight tensors add to its score."""
    lines = [row_text(row.row, _TEXT_CHARACTERS)]
    if row.tokens is not None:
        lines.append(f"tokens: {strongest(row.tokens, row.tokens.parts, score_text)}")
    if row.blocks is not None:
        largest = sorted(row.blocks, key=lambda name: -abs((row.blocks or {})[name]))[:_STRONGEST]
        lines.append("blocks: " + " · ".join(f"{plain(name, 80)} {score_text(-row.blocks[name])}" for name in largest))
    return Text("\n".join(lines))


def strongest(read: ReadText, values: Sequence[float | None], show: Callable[[float], str] = "{:.4g}".format) -> str:
    """The tokens of the largest values, in the order in which they were read."""
    known = [(place, value) for place, value in enumerate(values) if value]
    largest = sorted(known, key=lambda one: -abs(one[1]))[:_STRONGEST]
    return " · ".join(f"'{plain(read.tokens[place].strip(), 40)}' {show(value)}" for place, value in sorted(largest))


def row_text(row: Mapping[str, Any], limit: int) -> str:
    """The words of a row of any kind, as one printable line."""
    if isinstance(messages := row.get("messages"), Sequence) and not isinstance(messages, str):
        turns = (turn for turn in messages if isinstance(turn, Mapping))
        words = " / ".join(f"{turn.get('role', '?')}: {turn.get('content', '')}" for turn in turns)
    elif isinstance(image := row.get("image"), Mapping):
        shown = f"{image.get('width')} x {image.get('height')}, {str(image.get('digest'))[:12]}"
        words = f"image {shown}" + (f": {row['text']}" if "text" in row else "")
    elif "prompt" in row:
        words = f"{row['prompt']} -> {row.get('completion', '')}"
    elif isinstance(tokens := row.get("tokens"), Sequence):
        words = " ".join(map(str, tokens))
    elif "text_pair" in row:
        words = f"{row.get('text', '')} / {row['text_pair']}"
    elif "text" in row:
        words = str(row["text"])
    else:
        words = ", ".join(f"{name}: {value}" for name, value in row.items() if name not in _LABELS)
    return plain(words, limit)


def facts_table(title: str, facts: Mapping[str, Any]) -> Table:
    """A resource as names and values."""
    table = Table(title=Text(title), title_justify="left", show_header=False)
    table.add_column("name", no_wrap=True, style="bold")
    table.add_column("value", overflow="fold")
    for name, value in flatten(facts):
        table.add_row(Text(plain(name, 60)), Text(plain(value, 500)))
    return table


def flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"spec": {"rank": 8}}` -> `("spec.rank", 8)`; what is empty is left out."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif value is not None and value != []:
            yield prefix + name, value


def score_text(score: float) -> str:
    """A score with its sign, to four digits."""
    return f"{score:+,.0f}" if 1000 <= abs(score) < 1e7 else f"{score:+.4g}"
