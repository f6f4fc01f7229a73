"""`datainf groups` and `datainf what-if`: training rows taken together, and left out."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.client.job_events import read_finished
from cli.client.paths import index_path, resource_path
from cli.client.test_points import parse_rows
from cli.commands.base import client_command
from cli.options.fields import Spelling, check_body, options_of
from cli.options.parsing import given
from cli.options.shared import AskedIndex
from cli.printing.output import Output
from cli.printing.tables import score_text
from cli.printing.text import count, plain
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.curation.groups import Groups, GroupsRequest, WhatIf, WhatIfRequest
from influence.contracts.query import AUTO

_SETTINGS = options_of(
    GroupsRequest,
    spelled={
        "evaluation": Spelling(read=lambda text, _: {"dataset_id": text}, help="A data set's id (ds_...)."),
        "method": Spelling(default=AUTO, help="With a damping, 'datainf'."),
    },
)
_VERIFY = options_of(WhatIfRequest, only=("verify", "repeats", "max_seconds"))
_SHOWN = 40


@client_command(_SETTINGS)
def groups_command(service: Client, output: Output, settings: Json, *, index_id: AskedIndex) -> None:
    """Ask which groups of rows help and which harm: by label, or by a metadata column such as a source."""
    if "damping_scale" not in settings:
        settings = {"method": AUTO, **settings}
    body = check_body(GroupsRequest, settings, "groups")
    made = Groups.model_validate(service.http.submit(index_path(index_id, "groups"), body))
    output.note(f"Groups      {plain(made.id)} (job {plain(made.job_id)})")
    finished = read_finished(service, made.job_id, made.id, output)
    output.show(finished, lambda: show_groups(Groups.model_validate(finished), output))


def show_groups(made: Groups, output: Output) -> None:
    """Print a line per group, the most helpful first."""
    table = Table(title=f"By {plain(made.request.by, 60)}, the most helpful first", title_justify="left")
    table.add_column("group", max_width=40)
    for name in ("rows", "mean score", "95 % interval", "of most helpful", "of most harmful", "mean loss", "suspicion"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in (made.groups or ())[:_SHOWN]:
        shares = f"{one.share_of_helpful:.0%}", f"{one.share_of_harmful:.0%}"
        loss = "" if one.mean_loss is None else f"{one.mean_loss:.3g}"
        interval = f"{score_text(one.low)} to {score_text(one.high)}"
        name = "none" if one.group is None else plain(one.group, 80)
        suspicion = "" if one.mean_suspicion is None else f"{one.mean_suspicion:.2f}"
        table.add_row(Text(name), count(one.rows), score_text(one.mean_score), interval, *shares, loss, suspicion)
    output.results.print(table)
    output.note(f"Method      {method_text(made)}")
    for note in made.notes:
        output.note(f"Note: {plain(note, 300)}")
    output.note(f"Leave one out: datainf what-if {plain(made.id)} --group NAME")


def method_text(made: Groups | WhatIf) -> str:
    """The method, and why it was taken where the request left it open."""
    return (
        plain(made.method) if made.method_reason is None else f"{plain(made.method)}. {plain(made.method_reason, 300)}"
    )


@client_command(_VERIFY)
def what_if_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    groups_id: Annotated[str, typer.Argument(help="Finished groups (grp_...), whose scores are asked.")],
    rows: Annotated[str | None, typer.Option(help="Rows to leave out: 1,2,3 or 10-19.")] = None,
    lowest_percent: Annotated[float | None, typer.Option(help="Leave out so many percent, the lowest scores.")] = None,
    group: Annotated[str | None, typer.Option(help="Leave out a whole group.")] = None,
    review: Annotated[str | None, typer.Option(help="Leave out what a review removes (rev_...).")] = None,
) -> None:
    """Ask what leaving rows out is predicted to do; with --verify, train again to see."""
    remove = {
        "row_indexes": None if rows is None else parse_rows(rows),
        "lowest": None if lowest_percent is None else {"percent": lowest_percent},
        "group": group,
        "review_id": review,
    }
    body = check_body(WhatIfRequest, {"remove": given(remove), **settings}, "what-if")
    found = service.http.submit(f"{resource_path(groups_id)}/what-if", body)
    output.show(found, lambda: show_what_if(WhatIf.model_validate(found), output))


def show_what_if(found: WhatIf, output: Output) -> None:
    """Print the effect beside random sets, balances and warnings."""
    output.say(f"{count(found.rows_removed)} rows left out, {count(found.rows_left)} left")
    output.note(f"Method      {method_text(found)}")
    output.say(
        f"Sum of scores {score_text(found.effect)}: above 0, the loss would rise. Random sets of this size: "
        f"{score_text(found.random_mean)} ({score_text(found.random_low)} to {score_text(found.random_high)}), "
        f"{found.percentile:.1f}% of them lower"
    )
    if found.predicted_change is not None:
        interval = ""
        if found.predicted_low is not None and found.predicted_high is not None:
            interval = f" ({score_text(found.predicted_low)} to {score_text(found.predicted_high)})"
        output.say(f"Predicted change of the loss: {score_text(found.predicted_change)}{interval}")
    for title, balances in (("labels", found.labels or ()), ("groups", found.groups)):
        changed = [one for one in balances if one.after != one.before][:_SHOWN]
        told = ", ".join(f"{plain(one.name, 40)} {count(one.before)} to {count(one.after)}" for one in changed)
        output.say(f"{title}: {told or 'unchanged'}")
    if found.evaluation_id is not None:
        output.note(
            f"Training to see: datainf status {plain(found.job_id)}, then datainf status {plain(found.evaluation_id)}"
        )
    for warning in found.warnings:
        output.note(f"Warning: {plain(warning, 300)}")
