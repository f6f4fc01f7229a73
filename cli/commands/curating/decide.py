"""`datainf review decide`: one action for rows by their numbers, or for those that an audit finds."""

import json
from typing import Annotated

import typer

from cli.client.paths import resource_path
from cli.client.test_points import parse_rows
from cli.commands.base import client_command
from cli.options.fields import Spelling, check_body, options_of
from cli.options.search import SEARCH
from cli.printing.output import Output
from cli.printing.tables import row_text
from cli.printing.text import count, plain
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.curation.review import BulkRequest

_SETTINGS = options_of(
    BulkRequest,
    leave_out=("filter", "label"),
    spelled={
        "row_indexes": Spelling(("--rows",), lambda text, _: parse_rows(text), help="Rows: 1,2,3 or 10-19."),
        "action": Spelling(),
    },
)


@client_command(_SETTINGS, SEARCH)
def decide_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    review_id: Annotated[str, typer.Argument(help="The review (rev_...).")],
    to: Annotated[str | None, typer.Option(help="The new label, of relabel.")] = None,
) -> None:
    """Decide about many rows at once; --dry-run says what it would do."""
    body = check_body(BulkRequest, make_body(settings, to), "review decide")
    path, is_dry = f"{resource_path(review_id)}/decisions/bulk", bool(body.get("dry_run"))
    answer = service.http.post(path, body, is_repeatable=is_dry)
    output.show(answer, lambda: show_bulk(answer, output))


def make_body(settings: Json, to: str | None) -> Json:
    """The request: what finds rows makes up its filter."""
    found = ("where", "q", "label", "predicted", "disagree", "min_suspicion")
    rows = {name: value for name, value in settings.items() if name in found}
    body = {name: value for name, value in settings.items() if name not in found}
    if "where" in rows:
        rows["where"] = json.loads(rows["where"])
    if to is not None:
        body["label"] = to
    return {**body, "filter": rows} if rows else body


def show_bulk(answer: Json, output: Output) -> None:
    """Print what was done, or would be."""
    verb = "would change" if answer["dry_run"] else "changed"
    output.say(f"{count(answer['rows'])} rows {verb}, {count(answer['skipped'])} skipped, version {answer['version']}")
    for label, rows in (answer.get("per_class") or {}).items():
        output.say(f"  {plain(label, 80)}: {count(rows)}")
    for sample in answer.get("samples") or ():
        words = sample.get("row") if isinstance(sample.get("row"), dict) else sample
        output.say(f"  row {sample.get('row_index')}: {row_text(words, 160)}")
