"""A checkpoint: a base model and what was trained of it, an adapter or weights of its own."""

from typing import Annotated, Literal

from pydantic import Field, SerializationInfo, field_serializer, model_validator

from influence.contracts.common import FOR_CALLERS, Frozen, Json, LossScope, Named, Record, Reduction, Request
from influence.contracts.tasks import TaskName, listed_tasks

#: What trainers call plain gradient descent, with momentum or without: its steps have no metric of their own.
PLAIN_DESCENT = "sgd"
#: Most patterns of modules that a request names.
MAX_PATTERNS = 64
LORA_ALPHA = "Alpha of an image model's LoRA file that says none; without it alpha is taken to be the rank."
LoraAlpha = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class CheckpointRequest(Named):
    """JSON form of `POST /v1/checkpoints`: everything is named, nothing uploaded."""

    base_model: str = Field(
        description="Hub id, path under the allowed roots, or a configured alias.", examples=["minilm-l6"]
    )
    adapter: str | None = Field(
        None, description="Hub id or path of a PEFT adapter folder.", examples=["/models/tickets-lora"]
    )
    trainable: list[str] | None = Field(
        None,
        description="Instead of an adapter: names of modules of a plain model that was trained itself, with * and ?.",
        examples=[["classifier", "bert.encoder.layer.11"]],
    )
    revision: str | None = Field(None, description="Hub revision of the base model.")
    adapter_revision: str | None = Field(None, description="Hub revision of the adapter.")
    task: TaskName | None = Field(None, description=f"{listed_tasks()}; read from what was trained when left out.")
    label_names: list[str] | None = Field(None, description="Class names in the order of the head's outputs.")
    lora_alpha: LoraAlpha | None = Field(None, description=LORA_ALPHA)

    @model_validator(mode="after")
    def _one_part(self) -> "CheckpointRequest":
        if (self.adapter is None) == (self.trainable is None):
            raise ValueError("give either 'adapter' or 'trainable'")
        if self.adapter is None and self.adapter_revision is not None:
            raise ValueError("'adapter_revision' goes with 'adapter'")
        if self.adapter is None and self.lora_alpha is not None:
            raise ValueError("'lora_alpha' goes with 'adapter'")
        return self


class BaseModelRef(Frozen):
    """Where the base model lies. `location` is a folder (kind path) or a hub id (kind hub).

    Callers are shown the name that they gave instead of a folder: where things lie on a server is nothing of theirs.
    """

    name: str
    kind: Literal["path", "hub"]
    location: str
    revision: str | None = None
    digest: str | None = None

    @field_serializer("location")
    def _show(self, location: str, info: SerializationInfo) -> str:
        return self.name if self.kind == "path" and info.context == FOR_CALLERS else location


class TokenizerRecord(Frozen):
    """What turns text into ids: the adapter's own tokenizer where it was saved with one, else the base's.

    `files` are those it was read from, `vocabulary` is the number of its ids. `pad_token_id` is there where the upload
    names the padding id, by which a classifying decoder finds the end of a row; else the base's configuration decides.
    All but `source` are empty where the base model is on the hub and decides.
    """

    source: Literal["adapter", "base"]
    files: tuple[str, ...] = ()
    vocabulary: int | None = None
    pad_token_id: int | None = None
    chat_template_source: Literal["adapter", "base"] | None = None
    chat_template_digest: str | None = None


class PipelineRecord(Frozen):
    """What a diffusion pipeline is: what its UNet predicts, over how many timesteps it was trained, how many pixels a
    side its images have, what the noise falls on (a VAE's latents, or the pixels themselves), and how many pixels a
    side make one place of that. SDXL has two text encoders, and `zeros_for_empty` where its images are guided away from
    zeros instead of the empty text. `ends_in_noise`: nothing is left of an image at the last timestep."""

    prediction: Literal["epsilon", "v_prediction"]
    train_timesteps: int
    resolution: int
    works_on: Literal["latents", "pixels"]
    pixels_per_place: int = 1
    text_encoders: int = 1
    zeros_for_empty: bool = False
    ends_in_noise: bool = False


#: An empty thought was written before answers without one, before all or behind the last question alone; empty thoughts
#: carried no loss, or the beginnings of all; thoughts before the last question were taken out.
ThoughtRule = Literal[
    "empty_written", "last_empty_written", "empty_without_loss", "opening_without_loss", "former_removed"
]

#: How training ended rows: as the tokenizer ends texts; so, and without its tokens where the chat template has its BOS
#: in words; with an EOS unless one is there, conversations, too; texts and answers with an EOS in words; prompts and
#: answers encoded apart, with an EOS behind each answer.
RowEnds = Literal["as_tokenised", "bare", "unless_there", "in_words", "apart"]


class TrainingRecord(Frozen):
    """What the files beside an adapter say of its training. `way` is what the trainer calls it. `loss`, `beta`,
    `center_rewards_coefficient` and `max_length`, the number of tokens at which training cut rows, are taken for an
    index that leaves them out, `completion_loss` in the place of `loss` where rows are a prompt and its completion.

    `template` is the trainer's own template of conversations, by which rows are written where it is known here;
    `system` is the system prompt that rows without one are given, as in training; `enable_thinking` is LLaMA-Factory's
    switch of templates with thoughts, and `thoughts` what ms-swift did to those of answers. `ends` is how
    rows were ended, where TRL or Unsloth do it otherwise than here. `reduction` is what a row's loss was where losses
    fall on tokens, up to a factor that all rows share; `batch_rows` and `optimizer` are those of its steps."""

    files: tuple[str, ...]
    trainer: str | None = None
    way: str | None = None
    loss: LossScope | None = None
    completion_loss: LossScope | None = None
    beta: float | None = None
    center_rewards_coefficient: float | None = None
    max_length: int | None = None
    template: str | None = None
    system: str | None = None
    enable_thinking: bool | None = None
    thoughts: tuple[ThoughtRule, ...] | None = None
    ends: RowEnds | None = None
    reduction: Reduction | None = None
    batch_rows: int | None = None
    optimizer: str | None = None


class Checkpoint(Record):
    """An accepted checkpoint. `adapter` is the allow-listed LoRA configuration, `adapter_digest` names its files.

    `vocabulary` is the number of tokens that the base model is resized to, where the adapter was trained with another
    one than the base's.

    A plain model has neither, but `trainable`: patterns of the modules that gradients are taken of. `parameters` and
    `tensors` are null where its files are on the hub. `lora_parameters` are those of an adapter's `parameters` that are
    LoRA factors, not whole tensors. `layer_names` is `transformers 4` where an adapter calls the layers of its base as
    that version did, whose names are read as those of today. `pipeline` is there where the base model is a diffusion
    pipeline, `training` where the trainer left notes in plain text.

    `warnings` say what may be wrong with it and cannot be told from its files.
    """

    name: str | None = None
    base_model: BaseModelRef
    task: TaskName
    adapter: Json | None = None
    adapter_digest: str | None = None
    trainable: tuple[str, ...] | None = None
    label_names: tuple[str, ...] | None = None
    layer_names: str | None = None
    num_labels: int | None = None
    tokenizer: TokenizerRecord | None = None
    vocabulary: int | None = None
    parameters: int | None = None
    lora_parameters: int | None = None
    tensors: int | None = None
    pipeline: PipelineRecord | None = None
    training: TrainingRecord | None = None
    warnings: tuple[str, ...] = ()


class RunRequest(Request):
    """JSON form of `POST /v1/runs`: a folder under the allowed roots."""

    base_model: str = Field(
        description="Hub id, path under the allowed roots, or a configured alias.", examples=["minilm-l6"]
    )
    folder: str = Field(description="The trainer's output folder.", examples=["/models/tickets-run"])
    revision: str | None = Field(None, description="Hub revision of the base model.")
    task: TaskName | None = Field(None, description=f"{listed_tasks()}; read from what was trained when left out.")
    label_names: list[str] | None = Field(None, description="Class names in the order of the head's outputs.")


class RunCheckpoint(Frozen):
    """One checkpoint of a run. `weight` is the mean learning rate from the checkpoint before up to this one; where
    nothing was learnt it is 0, and sums leave the checkpoint out."""

    checkpoint_id: str
    folder: str
    step: int
    weight: float


class Run(Record):
    """Checkpoints in the order of their steps. `weights_from` says where the weights are from: the trainer's log, or
    nowhere, so that all are 1. The id follows from the checkpoints, their steps and weights."""

    base_model: BaseModelRef
    task: TaskName
    checkpoints: tuple[RunCheckpoint, ...]
    weights_from: Literal["learning_rate", "equal"]
    warnings: tuple[str, ...] = ()
