"""Resources without questions of their own."""

from typing import ClassVar

from datainf_client.generated import models
from datainf_client.http.session import Json
from datainf_client.resources.base import Resource, WithName, Work
from datainf_client.sources.ids import resource_path
from datainf_client.watching.following import ShowProgress, require_success, wait_for_job


class Checkpoint(models.Checkpoint, WithName):
    """What was trained: a base model with its adapter, or with modules of its own."""

    collection: ClassVar[str] = "checkpoints"


class Sweep(models.Sweep, Work):
    """How much a method's rankings depend on its damping."""

    collection: ClassVar[str] = "sweeps"


class Preview(models.Preview, Work):
    """Rows as the model reads them, and which of their tokens carry loss."""

    collection: ClassVar[str] = "previews"


class Evaluation(models.Evaluation, Work, WithName):
    """An experiment that trains again; its report once it is done."""

    collection: ClassVar[str] = "evaluations"

    def markdown(self) -> str:
        """The report as Markdown."""
        return self._session.fetch(f"{self.path}/report.md").decode()

    def picture(self, name: str, ending: str = "svg") -> bytes:
        """A picture of the report, as `svg` or `png`."""
        return self._session.fetch(f"{self.path}/pictures/{name}.{ending}")


class Job(models.Job, Resource):
    """Long work."""

    collection: ClassVar[str] = "jobs"

    def wait(self, *, progress: ShowProgress = None, timeout_seconds: float | None = None) -> "Job":
        """Wait until it is over. Raises ServiceError with the job's own problem where it did not succeed."""
        require_success(wait_for_job(self._session, self.id, progress=progress, timeout_seconds=timeout_seconds))
        return self.refresh()

    def cancel(self) -> "Job":
        """End it and remove what it made so far."""
        return self._take(self._session.delete(resource_path(self.collection, self.id)))

    def read_resource(self) -> Json:
        """What the job makes, as JSON."""
        return self._session.get(self.resource)


class Webhook(models.Webhook, Resource):
    """An address that is told what happened. `secret` is there once, in what `create` answers."""

    collection: ClassVar[str] = "webhooks"

    secret: str | None = None

    def test(self) -> str:
        """Send it a `webhook.test` now; answers the event's id, under which `refresh()` finds it in `deliveries`."""
        return str(self._session.post(f"{self.path}/test")["event_id"])
