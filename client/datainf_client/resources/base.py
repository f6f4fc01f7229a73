"""What all resources can do, and what those can do that long work makes."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, PrivateAttr, ValidationError

from datainf_client.generated import models
from datainf_client.http.errors import ServiceError
from datainf_client.http.session import Json, Session
from datainf_client.sources.ids import resource_path
from datainf_client.watching.following import ShowProgress, job_path, read_job, require_success, wait_for_job
from datainf_client.watching.words import FINAL_STATES


class Resource(BaseModel):
    """A record of the service as it stood when it was read; `refresh` reads it again."""

    collection: ClassVar[str]

    id: str
    _session: Session = PrivateAttr()

    @classmethod
    def of(cls, session: Session, body: Mapping[str, Any]) -> Self:
        """The resource that the service answered. Raises ServiceError where the answer is none."""
        try:
            made = cls.model_validate(body)
        except ValidationError as error:
            raise ServiceError(
                f"Unexpected response from the service: {error.error_count()} fields failed validation.",
                code="unexpected_answer",
                hint="Are client and service of the same version?",
            ) from error
        made._session = session
        return made

    @classmethod
    def read(cls, session: Session, resource_id: str) -> Self:
        """The resource of an id."""
        return cls.of(session, session.get(resource_path(cls.collection, resource_id)))

    @property
    def path(self) -> str:
        """Where it is read."""
        return resource_path(self.collection, self.id)

    def refresh(self) -> Self:
        """Read it again, into this object."""
        return self._take(self._session.get(self.path))

    def delete(self) -> None:
        """Remove it with all that it keeps; work at hand is cancelled first."""
        self._session.delete(self.path)

    def _take(self, body: Json) -> Self:
        fresh = type(self).of(self._session, body)
        for name in type(self).model_fields:
            setattr(self, name, getattr(fresh, name))
        self.__pydantic_extra__ = fresh.__pydantic_extra__
        return self

    def __repr__(self) -> str:
        facts = [str(value) for name in ("state", "name") if (value := getattr(self, name, None))]
        return f"<{' '.join([type(self).__name__, self.id, *facts])}>"

    __str__ = __repr__


class WithName(Resource):
    """A resource with a name that people may change."""

    name: str | None

    def rename(self, name: str | None) -> Self:
        """Give it another name."""
        return self._take(self._session.patch(self.path, {"name": name}))


class Work(Resource):
    """A resource that a job makes."""

    job_id: str
    state: str
    error: dict[str, Any] | None

    @property
    def is_final(self) -> bool:
        """Whether the work is over, in whichever way."""
        return self.state in FINAL_STATES

    @property
    def job(self) -> models.Job:
        """The job as it stands, with its progress."""
        return read_job(self._session, self.job_id)

    def wait(
        self,
        *,
        progress: ShowProgress = None,
        timeout_seconds: float | None = None,
        cancel_on_interrupt: bool = False,
    ) -> Self:
        """Wait until the work is done, read the result into this object, and return it.

        `progress`: True for a line that is written over, False for none, None for one where somebody looks at it (a
        terminal, a notebook), or a function that is given the job after every change. Ctrl-C leaves the job at work
        unless `cancel_on_interrupt`. Raises ServiceError: the job's own problem, `cancelled`, or `timed_out`.
        """
        if not self.is_final:
            wait_for_job(
                self._session,
                self.job_id,
                progress=progress,
                timeout_seconds=timeout_seconds,
                cancel_on_interrupt=cancel_on_interrupt,
            )
            self.refresh()
        if self.state != "succeeded":
            require_success(read_job(self._session, self.job_id))
        return self

    def cancel(self) -> None:
        """End the work and remove what it made so far."""
        self._session.delete(job_path(self.job_id))
