"""`datainf evaluate`: ask training itself which scores to trust."""

from pathlib import Path
from typing import Annotated

import typer

from cli.client.job_events import require_success
from cli.client.service import DEFAULT_URL, Service, resource_path
from cli.commands.build import watch
from cli.commands.experiment import Experiment, Rows, make_request, parse_methods
from cli.commands.query import parse_object
from cli.options import ApiKey, AsJson, BaseModelName, DatasetId, MaxLength, Url, given, parse_names, parse_numbers
from cli.printing.output import Output
from cli.printing.reports import make_folder, show_report, write_report
from cli.printing.text import plain
from influence.contracts.common import Json
from influence.contracts.evaluation import Evaluation
from influence.errors import InvalidRequest

_KINDS = "correlation, mislabelled, class-attribution, lds, leave-out or calibrate."


def evaluate_command(
    kind: Annotated[str, typer.Argument(help=_KINDS)],
    index: Annotated[str | None, typer.Option(help="Judge this index (idx_...): its model, its rows.")] = None,
    base_model: BaseModelName = None,
    data: Annotated[Path | None, typer.Option(help="Training rows; made up here where none are named.")] = None,
    evaluation_data: Annotated[Path | None, typer.Option(help="Test rows; else some of the training rows.")] = None,
    dataset_id: DatasetId = None,
    evaluation_dataset_id: Annotated[str | None, typer.Option(help="Instead of --evaluation-data.")] = None,
    columns: Annotated[str | None, typer.Option(help='JSON, role to column: \'{"class": "variation"}\'.')] = None,
    label_names: Annotated[str | None, typer.Option(help="Class names in order: a,b,c or a JSON list.")] = None,
    rows: Annotated[int | None, typer.Option(min=8, help="Training rows, drawn by the seed.")] = None,
    test_points: Annotated[int | None, typer.Option(min=1, help="Test rows that are asked.")] = None,
    seeds: Annotated[str | None, typer.Option(help="One training or more a seed: 0,1,2.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="datainf,exact:10,joint:10@compact64*3 (damping, storage, checkpoints).")
    ] = None,
    ranks: Annotated[str | None, typer.Option(help="correlation: LoRA ranks, 1,2,4,8.")] = None,
    flip_share: Annotated[float | None, typer.Option(help="Share of the labels flipped on purpose.")] = None,
    subsets: Annotated[int | None, typer.Option(min=4, help="lds, calibrate: subsets trained on.")] = None,
    subset_share: Annotated[float | None, typer.Option(help="lds, calibrate: share of the rows in a subset.")] = None,
    counts: Annotated[str | None, typer.Option(help="leave-out: rows left out, 30,60,120.")] = None,
    drop: Annotated[str | None, typer.Option(help="leave-out: the most helpful or the most harmful rows.")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="leave-out: trainings a choice.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a training.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    batch_rows: Annotated[int | None, typer.Option(min=1, help="Rows a step.")] = None,
    lora_rank: Annotated[int | None, typer.Option(min=1, help="Rank of the fresh adapter.")] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="Its scale, times the rank.")] = None,
    max_length: MaxLength = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md and pictures.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch the work until it is done.")] = True,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Train on rows again, some left out or mislabelled, and say which scores predicted what happened."""
    output = Output(as_json=as_json)
    with output.reporting(), Service(url, api_key) as service:
        settings: Json = {
            "base_model": base_model,
            "rows": rows,
            "test_points": test_points,
            "flip_share": flip_share,
            "subsets": subsets,
            "subset_share": subset_share,
            "repeats": repeats,
            "drop": drop,
            "max_length": max_length,
            "seeds": None if seeds is None else parse_numbers(seeds, "--seeds"),
            "ranks": None if ranks is None else parse_numbers(ranks, "--ranks"),
            "counts": None if counts is None else parse_numbers(counts, "--counts"),
            "methods": None if methods is None else parse_methods(methods),
            "recipe": given({"epochs": epochs, "learning_rate": learning_rate, "batch_rows": batch_rows}) or None,
            "lora": given({"r": lora_rank, "lora_alpha": lora_alpha}) or None,
        }
        experiment = Experiment(
            kind=kind,
            index_id=index,
            train=Rows(data, dataset_id),
            test=Rows(evaluation_data, evaluation_dataset_id),
            columns=parse_object(columns, "--columns") if columns else None,
            label_names=parse_names(label_names) if label_names else None,
            settings=given(settings),
        )
        evaluate(service, experiment, output, out=out, wait=wait)


def evaluate(service: Service, experiment: Experiment, output: Output, *, out: Path | None, wait: bool) -> None:
    """Send, watch, print and write. Raises what the service and the files have to say."""
    if out is not None:
        if not wait:
            raise InvalidRequest("There is no report to write without waiting for it.", hint="Leave --no-wait out.")
        make_folder(out)
    made = service.post("/v1/evaluations", make_request(experiment, service, output))
    evaluation = Evaluation.model_validate(made)
    output.note(f"Evaluation  {plain(evaluation.id)} (job {plain(evaluation.job_id)})")
    if wait:
        _note_readiness(service, output)
        require_success(watch(service, evaluation.job_id, output))
        made = service.get(resource_path(evaluation.id) or f"/v1/evaluations/{evaluation.id}")
        if out is not None:
            write_report(service, made, out, output)
    if output.as_json:
        output.show_json(made)
    elif (report := Evaluation.model_validate(made).report) is not None:
        show_report(report, output.results)
    else:
        output.say(f"The work goes on: datainf status {plain(evaluation.job_id)}")


def _note_readiness(service: Service, output: Output) -> None:
    for note in service.send("GET", "/health/ready", refuse=False).get("notes", []):
        output.note(f"Note: {plain(note, 200)}")
