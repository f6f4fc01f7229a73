"""`datainf status`: the service and what it holds, or one resource."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.printing.output import Output
from cli.printing.tables import facts_table
from cli.printing.text import bytes_text, count, plain
from datainf_client import Client
from datainf_client.generated.models import Job
from datainf_client.watching.words import describe_progress
from influence.contracts.common import Json

_LISTED = 20


@client_command()
def status_command(
    service: Client,
    output: Output,
    *,
    resource_id: Annotated[
        str | None, typer.Argument(help="An id: ckpt_, ds_, idx_, qry_, swp_, eval_, aud_ or job_.")
    ] = None,
) -> None:
    """Show the service with its indexes and jobs, or one resource."""
    if resource_id is None:
        overview = read_overview(service)
        output.show(overview, lambda: show_overview(overview, output))
    else:
        resource = service.http.get(resource_path(resource_id))
        output.show(resource, lambda: show_resource(resource_id, resource, output))


def read_overview(service: Client) -> Json:
    """Readiness, the newest indexes and the newest jobs. Raises Unavailable."""
    return {
        "ready": service.readiness(),
        "indexes": service.http.get("/v1/indexes", limit=_LISTED)["data"],
        "jobs": service.http.get("/v1/jobs", limit=_LISTED)["data"],
    }


def show_overview(overview: Json, output: Output) -> None:
    """Print the service's state and two lists."""
    ready = overview["ready"]
    workers = ready.get("workers")
    counted = f", {workers} worker{'' if workers == 1 else 's'}" if isinstance(workers, int) else ""
    output.say(f"Service: {plain(ready.get('status', ready.get('detail', '?')), 200)}{counted}")
    for note in ready.get("notes", []):
        output.say(f"  {plain(note, 200)}")
    _show_list(output, "Indexes", ("id", "state", "rows", "storage", "size"), [_index(i) for i in overview["indexes"]])
    _show_list(output, "Jobs", ("id", "kind", "state", "makes", "progress"), [_job(j) for j in overview["jobs"]])


def show_resource(resource_id: str, resource: Json, output: Output) -> None:
    """Print one resource; a job's progress in words."""
    facts: Json = dict(resource)
    if resource_id.startswith("job_"):
        facts["progress"] = describe_progress(Job.model_validate(resource))
    if isinstance(blocks := facts.get("blocks"), list):
        facts["blocks"] = len(blocks)
    for name in ("damping", "results", "result", "report", "signals", "classes", "confusion"):
        if facts.pop(name, None):
            facts[name] = "see --json"
    if isinstance(error := facts.pop("error", None), dict):
        facts["error"], facts["hint"] = error.get("detail"), error.get("hint")
    output.results.print(facts_table(plain(resource_id, 80), facts))


def _show_list(output: Output, title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if not rows:
        output.say(f"{title}: none")
        return
    table = Table(title=f"{title} (the newest {_LISTED})" if len(rows) >= _LISTED else title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(Text(plain(cell, 120)) for cell in row))
    output.results.print(table)


def _index(item: Json) -> tuple[str, ...]:
    size = item.get("bytes")
    storage = (item.get("spec") or {}).get("storage", "")
    return item["id"], item["state"], count(item.get("rows", 0)), storage, bytes_text(size) if size else ""


def _job(item: Json) -> tuple[str, ...]:
    job = Job.model_validate(item)
    return job.id, job.kind, job.state, job.resource_id, describe_progress(job)
