"""The main job over HTTP: upload, index, ask, and reckon with what was planted."""

import time
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from cli.commands.build import BuildOptions, build, send_dataset
from cli.commands.query import ask
from cli.printing.output import Output
from cli.samples.tickets import LABEL_NAMES
from datainf_client import Client
from demo.findings import Findings, judge
from demo.preparation import Prepared
from demo.report import show_answer, show_findings, show_index, show_other_method, show_step, show_what_next
from influence.contracts.common import Json
from influence.contracts.index import Index
from influence.contracts.query import Query

BASE_MODEL = "minilm-l6"
SHOWN_TICKETS, SHOWN_ROWS = 2, 5


@dataclass(frozen=True)
class Uploaded:
    """What the service knows by now."""

    index: Index
    heldout_id: str


def tell_story(url: str, prepared: Prepared, console: Console) -> Findings:
    """Everything between the service's start and its end. Raises what the service has to say."""
    output = Output()
    with Client(url) as service:
        show_step(console, "3  Upload adapter and rows, build the index")
        uploaded = upload(service, prepared, output)
        show_index(console, uploaded.index)
        show_step(console, "4  Which training rows taught the model its mistakes?")
        example = show_mistakes(service, uploaded, prepared, console, output)
        show_step(console, "5  Which labels are wrong?")
        query_id, findings = find_wrong_labels(service, uploaded, prepared, output)
        show_findings(console, findings)
        _, by_exact = find_wrong_labels(service, uploaded, prepared, output, method="exact")
        show_other_method(console, "exact", by_exact)
        show_step(console, "6  Yours")
        show_what_next(console, url, uploaded.index.id, uploaded.heldout_id, query_id, example)
    return findings


def upload(service: Client, prepared: Prepared, output: Output) -> Uploaded:
    """Send the checkpoint and both data sets; build the index of the training rows and wait for it."""
    names = list(LABEL_NAMES)
    train = BuildOptions(
        base_model=BASE_MODEL,
        adapter=prepared.folder / "adapter.zip",
        data=prepared.folder / "train.jsonl",
        label_names=names,
    )
    index = Index.model_validate(build(service, train, output, wait=True))
    heldout = BuildOptions(data=prepared.folder / "heldout.jsonl", label_names=names)
    return Uploaded(index, send_dataset(service, heldout, output))


def show_mistakes(service: Client, uploaded: Uploaded, prepared: Prepared, console: Console, output: Output) -> Json:
    """Find held-out tickets that the model gets wrong and ask about the worst; answers the last one asked."""
    everyone: Json = {"rows": {"dataset_id": uploaded.heldout_id}, "k": 1, "exact": False}
    answers = Query.model_validate(ask(service, uploaded.index.id, everyone, output)).results or ()
    mistakes = [result for result in answers if result.predicted_label != result.example.get("label")]
    console.print(f"The model gets {len(mistakes)} of the {len(answers)} held-out tickets wrong. The two worst:")
    truths = {ticket.id: ticket.true_label for ticket in prepared.tickets.wrong}
    example: Json = {}
    for result in sorted(mistakes, key=lambda result: -result.loss)[:SHOWN_TICKETS]:
        example = {"text": result.example["text"], "label": result.example["label"]}
        started = time.perf_counter()
        body: Json = {"examples": [example], "k": SHOWN_ROWS}
        query = Query.model_validate(ask(service, uploaded.index.id, body, output))
        show_answer(console, query, truths, 1000 * (time.perf_counter() - started))
    return example


def find_wrong_labels(
    service: Client, uploaded: Uploaded, prepared: Prepared, output: Output, method: str = "datainf"
) -> tuple[str, Findings]:
    """Influence of every training row on the mean held-out loss, held against the labels known to be wrong."""
    rows: Json = {"dataset_id": uploaded.heldout_id}
    body: Json = {"rows": rows, "aggregate": "mean", "order": "harmful", "method": method}
    query = Query.model_validate(ask(service, uploaded.index.id, body, output))
    scores = service.http.get(f"/v1/queries/{query.id}/scores")
    influence = np.asarray(scores["influence"][0], dtype=np.float64)
    return query.id, judge(influence, [ticket.is_wrong for ticket in prepared.tickets.train])
