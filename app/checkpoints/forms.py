"""What requests for one checkpoint and for those of a run say alike, and why either is refused."""

from pydantic import Field

from app.http.problems import UPLOAD_ERRORS
from influence.contracts.common import Request
from influence.contracts.tasks import TaskName, listed_tasks
from influence.errors import (
    AdapterConfigRefused,
    AdapterMismatch,
    AdapterNotFinite,
    BaseModelNotFound,
    IdempotencyConflict,
    NotFound,
    PathNotAllowed,
    PickleRefused,
    TaskMismatch,
    UnreadableFile,
    UnsafeArchive,
)

ADAPTER_ERRORS = (
    *UPLOAD_ERRORS,
    UnreadableFile,
    UnsafeArchive,
    PickleRefused,
    AdapterConfigRefused,
    AdapterMismatch,
    AdapterNotFinite,
    BaseModelNotFound,
    TaskMismatch,
    PathNotAllowed,
    NotFound,
    IdempotencyConflict,
)


class ModelForm(Request):
    """Fields beside a zip."""

    base_model: str = Field(description="Hub id, path under the allowed roots, or a configured alias.")
    revision: str | None = Field(None, description="Hub revision of the base model.")
    task: TaskName | None = Field(None, description=f"{listed_tasks()}; read from what was trained when left out.")
    label_names: list[str] | None = Field(None, description="JSON list, or a field each: class names in class order.")
