"""What the demo prints. Tickets are strangers' text: nothing in them is read as markup or as a control character."""

from collections.abc import Iterable, Mapping

from rich.console import Console, Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from cli.tables import score_text
from cli.text import plain
from demo.reckoning import Reckoning
from influence.contracts.query import Query, ScoredRow, TestPointResult

_TEXT_CHARACTERS, _QUESTION_CHARACTERS = 150, 600
_COLOURS = {"helpful": "green", "harmful": "red"}
_TITLES = {
    "helpful": "Five most helpful training rows: learning them lowered the loss on this ticket",
    "harmful": "Five most harmful training rows: learning them raised the loss on this ticket",
}


def show_step(console: Console, title: str) -> None:
    """A heading."""
    console.print()
    console.print(Rule(Text(title, "bold"), align="left"))


def say(console: Console, text: str) -> None:
    """A line as it stands, never broken: it may be there to be copied."""
    console.print(Text(text), soft_wrap=True)


def show_labels(console: Console, counts: Mapping[str, int], wrong: Mapping[str, int]) -> None:
    """How many training rows carry each label, and how many of them wrongly."""
    parts = [f"{name} {count} ({wrong.get(name, 0)} wrong)" for name, count in counts.items()]
    console.print(Text("Labels: " + ", ".join(parts)))


def show_answer(console: Console, query: Query, truths: Mapping[str, str]) -> None:
    """One test point: question, the model's answer, the true label, and the rows that taught it.

    `truths` maps the id of a row that is mislabelled on purpose to its true label.
    """
    assert query.results is not None
    result = query.results[0]
    console.print()
    console.print(_question(result))
    for name, rows in (("helpful", result.helpful), ("harmful", result.harmful)):
        console.print(_ranking(name, rows, truths))
    took = (query.milliseconds or {}).get("total")
    if took is not None:
        console.print(Text(f"{query.rows_scored} rows scored in {took:.0f} ms", "dim"))


def _question(result: TestPointResult) -> Panel:
    sure = "" if result.predicted_probability is None else f" ({result.predicted_probability:.0%} sure)"
    facts = Text.assemble(
        "The model says ", (plain(result.predicted_label, 80), "bold red"), f"{sure}; the true label is ",
        (plain(result.example.get("label"), 80), "bold green"), f".  Loss {result.loss:.3g}",
    )  # fmt: skip
    question = Text(plain(result.example.get("text"), _QUESTION_CHARACTERS))
    return Panel(Group(question, facts), title="A ticket that the model gets wrong", title_align="left")


def _ranking(name: str, rows: Iterable[ScoredRow], truths: Mapping[str, str]) -> Table:
    table = Table(title=_TITLES[name], title_justify="left", title_style=_COLOURS[name], expand=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("direction", no_wrap=True)
    table.add_column("row", no_wrap=True)
    table.add_column("label")
    table.add_column("text", ratio=1)
    for row in rows:
        table.add_row(
            score_text(row.score), Text(row.direction, _COLOURS[row.direction]), Text(plain(row.row_id, 40)),
            _label(row, truths), Text(plain(row.row.get("text", ""), _TEXT_CHARACTERS)),
        )  # fmt: skip
    return table


def _label(row: ScoredRow, truths: Mapping[str, str]) -> Text:
    label = Text(plain(row.label, 80))
    if row.row_id in truths:
        label.append(f"  WRONG, is {truths[row.row_id]}", "bold yellow")
    return label


def show_reckoning(console: Console, reckoning: Reckoning) -> None:
    """How many of the planted labels the ranking found."""
    share, by_chance = reckoning.top / reckoning.rows, reckoning.precision_by_chance
    found = Text.assemble(
        f"Of {reckoning.wrong} labels that were made wrong on purpose, ", (str(reckoning.found), "bold green"),
        f" stand among the {reckoning.top} most harmful of {reckoning.rows} rows (the top {share:.0%}); "
        f"by chance it would be {reckoning.top * by_chance:.0f}.",
    )  # fmt: skip
    figures = (
        f"Precision {reckoning.precision:.1%}, recall {reckoning.recall:.1%}, AUC {reckoning.auc:.3f} "
        f"(by chance {by_chance:.0%}, {share:.0%}, 0.5)."
    )
    console.print(found)
    console.print(Text(figures, "bold"))
