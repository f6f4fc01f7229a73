"""Jobs as commands watch them."""

from cli.client.paths import resource_path
from cli.printing.output import Output
from cli.printing.progress import JobBar
from datainf_client import Client
from datainf_client.generated.models import Job
from datainf_client.watching.following import follow_job, require_success
from influence.contracts.common import Json


def watch(service: Client, job_id: str, output: Output) -> Job:
    """Show a job's progress until it is final. Ctrl-C leaves the job running."""
    try:
        with JobBar(output.notices) as bar:
            for job in follow_job(service.http, job_id):
                bar.show(job)
    except KeyboardInterrupt:
        output.note(f"The job goes on. Watch it: datainf status {job_id}   End it: datainf cancel {job_id}")
        raise
    return job


def read_finished(service: Client, job_id: str, resource_id: str, output: Output) -> Json:
    """The resource of a job once it is there, watched until then. Raises the job's own problem where it failed."""
    require_success(watch(service, job_id, output))
    return service.http.get(resource_path(resource_id))
