"""`datainf review ...`: decide about rows, hand over, take back, apply."""

from pathlib import Path
from typing import Annotated

import typer

from cli.client.files import open_file
from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.commands.curating.decide import decide_command
from cli.commands.reading.export import export_command
from cli.commands.reading.rows import decision_text
from cli.options.parsing import given
from cli.printing.output import Output
from cli.printing.tables import facts_table
from cli.printing.text import count, plain
from datainf_client import Client
from influence.contracts.common import Json

ReviewId = Annotated[str, typer.Argument(help="The review (rev_...).")]
By = Annotated[str | None, typer.Option(help="Who decides, as it is to stand in the history.")]
_SHOWN = 20


@client_command()
def begin_command(
    service: Client,
    output: Output,
    *,
    dataset_id: Annotated[str, typer.Argument(help="The data set whose rows are decided about (ds_...).")],
    audit: Annotated[str | None, typer.Option(help="Lends its order, filters and suggested labels (aud_...).")] = None,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
) -> None:
    """Begin a review."""
    made = service.http.submit("/v1/reviews", given({"dataset_id": dataset_id, "audit_id": audit, "name": name}))
    output.show(
        made, lambda: output.say(f"{plain(made['id'])}: decide by datainf review decide {plain(made['id'])} ...")
    )


@client_command()
def show_command(service: Client, output: Output, *, review_id: ReviewId) -> None:
    """Show a review: how far it is, and its newest decisions."""
    path = resource_path(review_id)
    review = service.http.get(path)
    newest = service.http.get(f"{path}/decisions", length=_SHOWN)["data"]
    output.show({**review, "newest": newest}, lambda: show_review(review, newest, output))


def show_review(review: Json, newest: list[Json], output: Output) -> None:
    """Print facts, then decisions."""
    output.results.print(facts_table(plain(review["id"], 80), review))
    for one in newest:
        output.say(f"  row {one['row_index']}: {decision_text(one)}")


@client_command()
def undo_command(service: Client, output: Output, *, review_id: ReviewId, by: By = None) -> None:
    """Take the last change back, of one reviewer (--by) or of anyone."""
    show_answer(service.http.post(f"{resource_path(review_id)}/undo", given({"by": by})), output)


@client_command()
def apply_command(service: Client, output: Output, *, review_id: ReviewId) -> None:
    """Make the cleaned data set."""
    made = service.http.post(f"{resource_path(review_id)}/apply", is_repeatable=True)
    output.show(made, lambda: show_applied(made, output))


def show_applied(made: Json, output: Output) -> None:
    """Print what became of the rows, and what to do next."""
    rows = f"{count(made['rows_in'])} rows, {count(made['removed'])} removed, {count(made['relabelled'])} relabelled"
    output.say(f"{plain(made['dataset_id'])}: {rows}, {count(made['rows_out'])} left")
    output.note(f"Index it: datainf build --checkpoint-id ckpt_... --dataset-id {plain(made['dataset_id'])}")


@client_command()
def import_command(
    service: Client,
    output: Output,
    *,
    review_id: ReviewId,
    file: Annotated[
        Path, typer.Argument(help="Label Studio's JSON export, or CSV or JSON lines with an action column.")
    ],
    by: By = None,
) -> None:
    """Take decisions back from a file: all of them, or none."""
    with open_file(file, "file") as stream:
        upload = {"file": (file.name, stream, "application/octet-stream")}
        answer = service.http.post(f"{resource_path(review_id)}/import", data=given({"by": by}), files=upload)
    show_answer(answer, output)


def show_answer(answer: Json, output: Output) -> None:
    """Print what a change did."""
    conflicts = f", {len(answer['conflicts'])} conflicts" if answer.get("conflicts") else ""
    output.show(
        answer, lambda: output.say(f"{count(answer['applied'])} decisions, version {answer['version']}{conflicts}")
    )


review_app = typer.Typer(help="Decide about rows, hand over, take back, apply.", no_args_is_help=True)
for name, command in {
    "begin": begin_command,
    "show": show_command,
    "decide": decide_command,
    "undo": undo_command,
    "apply": apply_command,
    "export": export_command,
    "import": import_command,
}.items():
    review_app.command(name)(command)
