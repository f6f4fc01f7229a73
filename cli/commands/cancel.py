"""`datainf cancel`: end a job."""

from typing import Annotated

import typer

from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.printing.output import Output
from datainf_client import Client
from influence.errors import InvalidRequest


@client_command()
def cancel_command(
    service: Client,
    output: Output,
    *,
    job_id: Annotated[str, typer.Argument(help="The job to end (job_...).")],
) -> None:
    """End a job and remove what it made so far."""
    if not job_id.startswith("job_"):
        raise InvalidRequest(f"{job_id[:80]!r} is not a job's id.", hint="See the jobs: datainf status.")
    job = service.http.delete(resource_path(job_id))
    output.show(job, lambda: output.say(f"{job_id}: {job.get('state', 'cancelled')}"))
