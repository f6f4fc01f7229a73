"""A checkpoint: a base model and the adapter that was trained on it."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from influence.contracts.common import Frozen, Json, Request, TaskName


class CheckpointRequest(Request):
    """JSON form of `POST /v1/checkpoints`: everything is named, nothing uploaded."""

    base_model: str = Field(
        description="Hub id, path under the allowed roots, or a configured alias.", examples=["minilm-l6"]
    )
    adapter: str = Field(description="Hub id or path of a PEFT adapter folder.", examples=["/models/tickets-lora"])
    revision: str | None = Field(None, description="Hub revision of the base model.")
    adapter_revision: str | None = Field(None, description="Hub revision of the adapter.")
    task: TaskName | None = Field(None, description="Read from the adapter when left out.")
    label_names: list[str] | None = Field(None, description="Class names in the order of the head's outputs.")


class BaseModelRef(Frozen):
    """Where the base model lies. `location` is a folder (kind path) or a hub id (kind hub)."""

    name: str
    kind: Literal["path", "hub"]
    location: str
    revision: str | None = None
    digest: str | None = None


class Checkpoint(Frozen):
    """An accepted checkpoint. `adapter` is the allow-listed LoRA configuration, `adapter_digest` names its files."""

    id: str
    base_model: BaseModelRef
    task: TaskName
    adapter: Json
    adapter_digest: str
    label_names: tuple[str, ...] | None = None
    num_labels: int | None = None
    parameters: int
    tensors: int
    created_at: datetime
