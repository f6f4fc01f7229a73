"""`datainf evaluate`: retrain to see which scores to trust."""

import json
from pathlib import Path
from typing import Annotated, get_args

import typer

from cli.client.job_events import read_finished
from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.commands.build import note_readiness
from cli.commands.experiment import Experiment, Rows, make_request, parse_methods
from cli.options.fields import Spelling, options_of
from cli.options.parsing import parse_names, parse_numbers, parse_object
from cli.options.shared import DataFile, DatasetId, Wait
from cli.printing.output import Output
from cli.printing.reports import show_report
from cli.printing.text import plain
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.curation.groups import Cost
from influence.contracts.dataset import DatasetRequest
from influence.contracts.evaluation.experiment import EvaluationKind, EvaluationRequest, LoraShape, TrainingRecipe
from influence.contracts.evaluation.record import Evaluation
from influence.errors import InvalidRequest

PICTURE_ENDINGS = ("svg", "png")
_ROWS = options_of(
    DatasetRequest,
    only=("columns", "label_names"),
    within="sending",
    spelled={"columns": Spelling(read=parse_object), "label_names": Spelling(read=parse_names)},
)
_NUMBERS = Spelling(read=parse_numbers, help="Write 0,1,2.")
_EXPERIMENT = options_of(
    *get_args(get_args(EvaluationRequest)[0]),
    leave_out=(
        "kind",
        "dataset_id",
        "evaluation_dataset_id",
        "lora",
        "recipe",
        "row_indexes",
        "evaluation_row_indexes",
        "predicted",
    ),
    spelled={
        "index_id": Spelling(("--index",)),
        "seeds": _NUMBERS,
        "ranks": _NUMBERS,
        "counts": _NUMBERS,
        "trainable": Spelling(read=parse_names),
        "methods": Spelling(
            read=parse_methods,
            help="datainf,exact:10,joint:10@compact64*3 (damping, storage, checkpoints); exact#1+2 (epochs 1 and 2).",
        ),
    },
)
_LORA = options_of(
    LoraShape,
    within="lora",
    spelled={"r": Spelling(("--lora-rank",)), "target_modules": Spelling(read=parse_names)},
)
_RECIPE = options_of(TrainingRecipe, only=("optimizer", "epochs", "learning_rate", "batch_rows"), within="recipe")


@client_command(_ROWS, _EXPERIMENT, _LORA, _RECIPE)
def evaluate_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(get_args(EvaluationKind))}.")],
    data: DataFile = None,
    dataset_id: DatasetId = None,
    evaluation_data: Annotated[Path | None, typer.Option(help="Test rows; else some of the training rows.")] = None,
    evaluation_dataset_id: Annotated[str | None, typer.Option(help="Instead of --evaluation-data.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md and pictures.")] = None,
    wait: Wait = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and begin nothing.")] = False,
) -> None:
    """Train on rows again, some left out or mislabelled, and say which scores predicted what happened.

    Rows are made up where neither an index nor rows are named.
    """
    experiment = Experiment(
        kind=kind,
        index_id=settings.pop("index_id", None),
        train=Rows(data, dataset_id),
        test=Rows(evaluation_data, evaluation_dataset_id),
        **settings.pop("sending", {}),
        settings=settings,
    )
    if dry_run:
        show_cost(service, experiment, output)
    else:
        evaluate(service, experiment, output, out=out, wait=wait)


def show_cost(service: Client, experiment: Experiment, output: Output) -> None:
    """Print what the experiment would take; rows that lie here are uploaded for it. Raises what `evaluate` raises."""
    request = make_request(experiment, service, output)
    found = service.http.post("/v1/evaluations/cost", request, is_repeatable=True)
    cost = Cost.model_validate(found)
    time = "an unknown time" if cost.seconds is None else f"about {cost.seconds:,.0f} s on one worker"
    output.show(found, lambda: output.say(f"{cost.trainings:,} trainings of {cost.steps:,} steps together, {time}"))


def evaluate(service: Client, experiment: Experiment, output: Output, *, out: Path | None, wait: bool) -> None:
    """Send, watch, print and write. Raises what the service and the files have to say."""
    if out is not None:
        if not wait:
            raise InvalidRequest("There is no report to write without waiting for it.", hint="Leave --no-wait out.")
        make_folder(out)
    made = service.http.submit("/v1/evaluations", make_request(experiment, service, output))
    evaluation = Evaluation.model_validate(made)
    output.note(f"Evaluation  {plain(evaluation.id)} (job {plain(evaluation.job_id)})")
    if wait:
        note_readiness(service, output)
        made = read_finished(service, evaluation.job_id, evaluation.id, output)
        if out is not None:
            write_report(service, made, out, output)
    output.show(made, lambda: show_evaluation(Evaluation.model_validate(made), output))


def show_evaluation(evaluation: Evaluation, output: Output) -> None:
    """Print the report, or how to watch the work that makes it."""
    if evaluation.report is None:
        output.say(f"The work goes on: datainf status {plain(evaluation.job_id)}")
    else:
        show_report(evaluation.report, output.results)


def make_folder(folder: Path) -> None:
    """Raises InvalidRequest where a report could not be written: known before hours of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"--out {folder} is no folder: {error.strerror}.", hint="Name another folder.") from error


def write_report(service: Client, finished: Json, folder: Path, output: Output) -> None:
    """Write report.json, report.md and every picture as SVG and PNG."""
    evaluation = Evaluation.model_validate(finished)
    path = resource_path(evaluation.id)
    (folder / "report.json").write_text(json.dumps(finished, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_bytes(service.http.fetch(f"{path}/report.md"))
    pictures = () if evaluation.report is None else evaluation.report.pictures
    names = [f"{picture.name}.{ending}" for picture in pictures for ending in PICTURE_ENDINGS]
    (folder / "pictures").mkdir(exist_ok=True)
    for name in names:
        (folder / "pictures" / name).write_bytes(service.http.fetch(f"{path}/pictures/{name}"))
    output.note(f"Written to {folder}: report.json, report.md{''.join(f', pictures/{name}' for name in names)}")
