"""What the demo asks of the service, all of it over HTTP."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cli.following import JobBar, follow_job, require_success
from cli.service import Service
from influence.contracts.common import Json
from influence.contracts.index import Index
from influence.contracts.query import Query

BASE_MODEL = "minilm-l6"
MAX_TOKENS = 128
_WAIT_SECONDS = 30
_COLUMNS = {"id": "id", "text": "text", "label": "label"}


def send_checkpoint(service: Service, adapter: Path, label_names: Sequence[str]) -> Json:
    """Upload the zipped adapter."""
    form = {"base_model": BASE_MODEL, "label_names": json.dumps(label_names)}
    with adapter.open("rb") as archive:
        files = {"adapter": (adapter.name, archive, "application/zip")}
        return service.send("POST", "/v1/checkpoints", data=form, files=files)


def send_dataset(service: Service, rows: Path, label_names: Sequence[str]) -> Json:
    """Upload rows as JSONL."""
    form = {"columns": json.dumps(_COLUMNS), "label_names": json.dumps(label_names), "name": rows.name}
    with rows.open("rb") as lines:
        return service.send(
            "POST", "/v1/datasets", data=form, files={"file": (rows.name, lines, "application/x-ndjson")}
        )


def build_index(service: Service, checkpoint_id: str, dataset_id: str, console: Console) -> Index:
    """Build the index, or find it built, under a live progress bar."""
    body = {"checkpoint_id": checkpoint_id, "dataset_id": dataset_id, "max_length": MAX_TOKENS}
    index = Index.model_validate(service.post("/v1/indexes", body))
    with JobBar(console) as bar:
        for job in follow_job(service, index.job_id):
            bar.show(job)
    require_success(job)
    return Index.model_validate(service.get(f"/v1/indexes/{index.id}"))


def ask(service: Service, index_id: str, body: Json, console: Console) -> Query:
    """The answer to a query, waited for; long ones under a progress bar."""
    path = f"/v1/indexes/{index_id}/queries"
    query = Query.model_validate(service.post(path, body, headers={"Prefer": f"wait={_WAIT_SECONDS}"}))
    if query.results is None:
        with JobBar(console) as bar:
            for job in follow_job(service, query.job_id):
                bar.show(job)
        require_success(job)
        query = Query.model_validate(service.get(f"/v1/queries/{query.id}"))
    return query


def read_scores(service: Service, query_id: str) -> list[float]:
    """Influence of every training row on the only test point of a query."""
    scores: list[float] = service.get(f"/v1/queries/{query_id}/scores")["influence"][0]
    return scores
