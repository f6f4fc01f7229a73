"""From the options of `datainf evaluate` to a request and its rows."""

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cli.client.files import open_file
from cli.client.uploads import send_rows
from cli.printing.output import Output
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import EXPERIMENTS, EvaluationRequest
from influence.contracts.evaluation.experiment import Experiment as ExperimentRequest
from influence.errors import InvalidRequest

_REQUEST: TypeAdapter[EvaluationRequest] = TypeAdapter(EvaluationRequest)
_METHOD = re.compile(
    r"(?P<method>[^:@*#=]+)(?::(?P<damping>[^:@*#=]+))?(?:@(?P<storage>full|compact)(?P<rank>\d{1,4})?)?"
    r"(?:\*(?P<checkpoints>\d{1,2})|#(?P<epochs>\d{1,4}(?:\+\d{1,4})*))?(?:=(?:(?P<measurement>loss|square)|(?P<reduction>mean|sum)))?"
)
_METHODS_HINT = (
    "Write names, with damping, storage and checkpoints if need be: datainf,exact:10,joint:10@compact64*3,exact#1+2; "
    "and what gradients are of: datainf=sum where losses fall on tokens, datainf=square for models that make images."
)
_SOURCES_HINT = "Give --index, --dataset-id or --data, or none of them for rows made up here."


@dataclass(frozen=True)
class Rows:
    """Where rows come from: a file to upload, or a stored data set; neither for what the command makes up."""

    data: Path | None = None
    dataset_id: str | None = None

    @property
    def is_given(self) -> bool:
        return self.data is not None or self.dataset_id is not None


@dataclass(frozen=True)
class Experiment:
    """What to ask for: `settings` is the request without its rows."""

    kind: str
    index_id: str | None = None
    train: Rows = field(default_factory=Rows)
    test: Rows = field(default_factory=Rows)
    columns: Json | None = None
    label_names: list[str] | None = None
    settings: Json = field(default_factory=dict)

    @property
    def rules(self) -> type[ExperimentRequest]:
        """The kind's; those that all kinds share where there is no such kind, which is said when it is validated."""
        return EXPERIMENTS.get(self.kind, ExperimentRequest)


def parse_methods(text: str, option: str) -> list[Json]:
    """`exact:10,joint@compact64*3,exact#1+2` -> method, damping_scale, storage, rank, checkpoints, epochs; a last
    `=square` -> measurement, or `=sum` -> reduction.

    Raises InvalidRequest.
    """
    return [_parse_method(part.strip(), option) for part in text.split(",")]


def _parse_method(text: str, option: str) -> Json:
    match = _METHOD.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"{option}: {text[:80]!r} is not a method's name with its settings.", hint=_METHODS_HINT)
    choice: Json = {"method": match["method"].strip()}
    if match["damping"] is not None:
        choice["damping_scale"] = _parse_damping(match["damping"], option)
    if match["storage"] is not None:
        choice["storage"] = match["storage"]
    for name in ("rank", "checkpoints"):
        if match[name] is not None:
            choice[name] = int(match[name])
    for name in ("measurement", "reduction"):
        if match[name] is not None:
            choice[name] = match[name]
    if match["epochs"] is not None:
        choice["epochs"] = [int(number) for number in match["epochs"].split("+")]
    return choice


def _parse_damping(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidRequest(f"{option}: {text[:40]!r} is no damping.", hint=_METHODS_HINT) from error


def make_request(experiment: Experiment, service: Client, output: Output) -> Json:
    """The request, with the rows that it names uploaded. Raises InvalidRequest before anything is sent."""
    check_sources(experiment)
    _validate({**_named(experiment, "ds_", "ds_"), **experiment.settings})
    train, test = _send(experiment, service, output)
    return {**_named(experiment, train, test), **experiment.settings}


def check_sources(experiment: Experiment) -> None:
    """Raise InvalidRequest where rows are named twice or test rows stand alone."""
    train, test = experiment.train, experiment.test
    named = [experiment.index_id, train.data, train.dataset_id]
    if sum(source is not None for source in named) > 1 or (test.data is not None and test.dataset_id is not None):
        raise InvalidRequest("Name exactly one source of rows.", hint=_SOURCES_HINT)
    if test.is_given and not any(source is not None for source in named):
        raise InvalidRequest("Evaluation rows are given without training rows.", hint=_SOURCES_HINT)
    if experiment.rules.needs_index and experiment.index_id is None:
        raise InvalidRequest(f"An evaluation of kind '{experiment.kind}' is made for one index.", hint="Give --index.")


def _named(experiment: Experiment, train: str | None, test: str | None) -> Json:
    source = {"index_id": experiment.index_id} if experiment.index_id is not None else {"dataset_id": train}
    has_test = experiment.test.is_given or (experiment.index_id is None and not experiment.train.is_given)
    return {"kind": experiment.kind, **source, **({"evaluation_dataset_id": test} if has_test else {})}


def _validate(body: Json) -> None:
    try:
        _REQUEST.validate_python(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        message = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"an evaluation of kind '{body['kind']}' takes no such setting"
        raise InvalidRequest(
            f"{where + ': ' if where else ''}{message}.", hint="See datainf evaluate --help."
        ) from error


def _send(experiment: Experiment, service: Client, output: Output) -> tuple[str | None, str | None]:
    """Ids of training and test rows, what lies here uploaded first."""
    if experiment.index_id is None and not experiment.train.is_given:
        return _send_made_up(experiment, service, output)
    sent = [rows.dataset_id for rows in (experiment.train, experiment.test)]
    for place, rows in enumerate((experiment.train, experiment.test)):
        if rows.data is not None:
            with open_file(rows.data, "data file") as stream:
                sent[place] = send_rows(
                    service,
                    stream,
                    rows.data.name,
                    output,
                    columns=experiment.columns,
                    label_names=experiment.label_names,
                )
    return sent[0], sent[1]


def _send_made_up(experiment: Experiment, service: Client, output: Output) -> tuple[str, str]:
    """Rows of the project's own generators: support tickets, or sentence transformations where classes count."""
    if experiment.rules.compares_classes:
        from cli.samples.transformations import TransformationSettings, make_transformations, to_jsonl

        rows = max(TransformationSettings().train_rows, experiment.settings.get("rows", 0))
        parts = [to_jsonl(part) for part in make_transformations(TransformationSettings(train_rows=rows))]
        columns: Json | None = {"class": "class"}
    else:
        from cli.samples.tickets import TicketSettings, make_tickets
        from cli.samples.tickets import to_jsonl as tickets_to_jsonl

        rows = max(TicketSettings().train_rows, experiment.settings.get("rows", 0))
        tickets = make_tickets(TicketSettings(train_rows=rows, wrong_share=0.0))
        parts, columns = [tickets_to_jsonl(tickets.train), tickets_to_jsonl(tickets.heldout)], None
    names = ("made-up-train.jsonl", "made-up-test.jsonl")
    train, test = (
        send_rows(service, io.BytesIO(part), name, output, columns=columns)
        for part, name in zip(parts, names, strict=True)
    )
    return train, test
