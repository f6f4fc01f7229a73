"""What the demo shows. Everything that stands in a row is shown as plain text, whatever it holds."""

import json
from collections.abc import Mapping, Sequence

from rich.console import Console, Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from cli.printing.tables import row_text, score_text
from cli.printing.text import bytes_text, count, plain
from demo.findings import Findings
from influence.contracts.index import Index
from influence.contracts.query import Query, ScoredRow, TestPointResult

_TEXT_CHARACTERS = 150
_QUESTION_CHARACTERS = 600
_TITLES = {
    "helpful": "Most helpful: training on them lowered this ticket's loss",
    "harmful": "Most harmful: training on them raised this ticket's loss",
}
_COLOURS = {"helpful": "green", "harmful": "red"}


def show_step(console: Console, text: str) -> None:
    """A heading."""
    console.print()
    console.print(Rule(Text(text, "bold"), align="left"))


def show_index(console: Console, index: Index) -> None:
    """The index's figures on one line."""
    size = "" if index.bytes is None else f", {bytes_text(index.bytes)} in Redis"
    console.print(
        f"Index {plain(index.id)}: {count(index.rows)} rows, {len(index.blocks)} blocks, "
        f"{count(index.parameters or 0)} parameters, storage {index.spec.storage}{size}",
        markup=False,
        soft_wrap=True,
    )


def show_answer(console: Console, query: Query, truths: Mapping[str, str], milliseconds: float) -> None:
    """One ticket that the model gets wrong, and who taught it that.

    `truths` maps the id of every row whose label is wrong on purpose to its true label.
    """
    assert query.results is not None
    result = query.results[0]
    console.print()
    console.print(_question(result))
    for name, rows in (("helpful", result.helpful), ("harmful", result.harmful)):
        console.print(_ranking(name, rows, truths))
    method = f"method {plain(query.method)}, {plain(query.sign_convention)}, {count(query.rows_scored or 0)} rows"
    console.print(f"{method}, answered over HTTP in {milliseconds:.0f} ms", style="dim", markup=False)


def _question(result: TestPointResult) -> Panel:
    sure = "" if result.predicted_probability is None else f" ({result.predicted_probability:.0%} sure)"
    verdict = Text.assemble(
        "The model answers ",
        (plain(result.predicted_label, 40), "bold red"),
        sure,
        ", the true label is ",
        (plain(result.example.get("label"), 40), "bold green"),
        f" (loss {result.loss:.2f})",
    )
    question = Text(row_text(result.example, _QUESTION_CHARACTERS))
    return Panel(Group(question, verdict), title="A held-out ticket that the model gets wrong", title_align="left")


def _ranking(name: str, rows: Sequence[ScoredRow], truths: Mapping[str, str]) -> Table:
    title = Text(_TITLES[name], _COLOURS[name])
    table = Table(title=title, title_justify="left", expand=True, show_edge=False, pad_edge=False)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("direction", no_wrap=True)
    table.add_column("row", no_wrap=True)
    table.add_column("label", no_wrap=True)
    table.add_column("text", ratio=1)
    for row in rows:
        label = Text(plain(row.label, 40))
        if row.row_id in truths:
            label += Text(f" ✗ planted, is {truths[row.row_id]}", "bold yellow")
        table.add_row(
            Text(score_text(row.score), _COLOURS[row.direction]),
            Text(row.direction, _COLOURS[row.direction]),
            Text(plain(row.row_id, 40)),
            label,
            Text(row_text(row.row, _TEXT_CHARACTERS)),
        )
    return table


def show_findings(console: Console, findings: Findings) -> None:
    """How many planted wrong labels stand among the most harmful rows."""
    by_chance = findings.planted / findings.rows
    console.print(
        f"{findings.found} of the {findings.planted} planted wrong labels stand among the {findings.looked_at} rows "
        f"most harmful to held-out loss (top {findings.looked_at / findings.rows:.0%}; by chance it would be "
        f"{findings.looked_at * by_chance:.0f}).",
        soft_wrap=True,
    )
    console.print(
        f"AUC {findings.auc:.3f}   precision@{findings.looked_at / findings.rows:.0%} {findings.precision:.3f}   "
        f"recall {findings.recall:.3f}",
        style="bold",
    )


def show_other_method(console: Console, method: str, findings: Findings) -> None:
    """The same question to another method on the same index: which one serves a data set better is not known ahead."""
    console.print(
        f"The same index asked by method '{method}': {findings.found} of {findings.planted}, AUC {findings.auc:.3f}. "
        "Which method suits which data: docs/method.md",
        soft_wrap=True,
    )


def show_what_next(console: Console, url: str, index_id: str, dataset_id: str, query_id: str, example: object) -> None:
    """Lines to paste into another terminal."""
    body = json.dumps({"examples": [example], "k": 5}, ensure_ascii=True).replace("'", "\\u0027")
    mean = json.dumps({"rows": {"dataset_id": dataset_id}, "aggregate": "mean", "order": "harmful", "k": 20})
    lines = (
        f"curl -s {url}/v1/indexes/{index_id}",
        f"curl -s {url}/v1/indexes/{index_id}/queries -H 'Content-Type: application/json' -H 'Prefer: wait=20' "
        f"-d '{body}'",
        f"curl -s {url}/v1/indexes/{index_id}/queries -H 'Content-Type: application/json' -H 'Prefer: wait=60' "
        f"-d '{mean}'",
        f"curl -s {url}/v1/queries/{query_id}/scores",
    )
    console.print(f"Open {url}/ui/indexes/{index_id} in a browser: ask, audit, review.", style="bold", soft_wrap=True)
    console.print(f"The service is running at {url}   (API guide: {url}/docs)", soft_wrap=True)
    console.print()
    for line in lines:
        console.print(plain(line), markup=False, soft_wrap=True)
