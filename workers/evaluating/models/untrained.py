"""The model of an experiment before its training: the base under a fresh adapter, or as it is, as the request says."""

from collections.abc import Sequence
from typing import Any

from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from transformers import AutoConfig

from influence.checkpoint_files.bases.pipelines import PipelineFiles
from influence.checkpoint_files.task.image_layers import head_layers, lacking_layers, require_usual_layers
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import Json, LossScope, now
from influence.contracts.evaluation.experiment import Experiment, LoraShape
from influence.contracts.evaluation.record import Evaluation, Subject
from influence.contracts.index import DiffusionSettings, GradientSettings
from influence.contracts.tasks import TASKS, TaskName
from influence.errors import InvalidRequest
from workers.loading.checkpoint import LoadedCheckpoint, locate_base_model, make_untrained
from workers.runtime.state import Runtime

#: The layers of a UNet's attention, as trainers of diffusion models adapt them.
_OF_UNETS = ("to_q", "to_k", "to_v", "to_out.0")


def load_untrained(runtime: Runtime, evaluation: Evaluation, *, seed: int, rank: int | None = None) -> LoadedCheckpoint:
    """A fresh model, decided by the request and the seed alone; `rank` stands in the place of the request's.

    Of an index the base model and adapter are those of its checkpoint. Raises CheckpointRefused, InvalidRequest.
    """
    request, subject = evaluation.request, evaluation.subject
    if request.index_id is None:
        shape = request.lora if rank is None else request.lora.model_copy(update={"r": rank, "lora_alpha": float(rank)})
        return load_base(runtime, request, subject, shape, loss=request.loss, seed=seed)
    index = runtime.store.indexes.require(request.index_id)
    checkpoint = runtime.store.checkpoints.require(index.spec.checkpoint_id)
    measured = index.spec.gradients.diffusion
    of_training = None if measured is None else measured.of_training
    settings = index.spec.gradients.model_copy(update={"precision": "float32", "diffusion": of_training})
    return _load(runtime, checkpoint, settings, seed=seed, dropout=request.recipe.lora_dropout)


def load_base(
    runtime: Runtime, request: Experiment, subject: Subject, shape: LoraShape, *, loss: LossScope | None, seed: int
) -> LoadedCheckpoint:
    """A named base model under a fresh adapter, or with the modules open that the request has trained themselves.

    Raises CheckpointRefused, NothingTrainable, InvalidRequest.
    """
    if subject.base_model is None:
        raise InvalidRequest("This kind of evaluation needs a base model.", hint="Name 'base_model'.")
    is_pipeline = TASKS[subject.task].is_pipeline
    pipeline = (
        PipelineFiles(locate_base_model(subject.base_model, runtime.load_options)).record if is_pipeline else None
    )
    model_type = "" if is_pipeline else find_model_type(runtime, subject.base_model)
    checkpoint = Checkpoint(
        id="ckpt_untrained",
        base_model=subject.base_model,
        task=subject.task,
        adapter=None if request.trainable else adapter_fields(shape, model_type, subject.task),
        trainable=request.trainable,
        pipeline=pipeline,
        adapter_digest="",
        label_names=subject.label_names,
        num_labels=subject.num_labels,
        parameters=0,
        tensors=0,
        created_at=now(),
    )
    diffusion = None if pipeline is None else DiffusionSettings(resolution=pipeline.resolution)
    settings = GradientSettings(
        max_length=request.max_length, loss=loss, reduction=request.reduction, diffusion=diffusion
    )
    return _load(runtime, checkpoint, settings, seed=seed, dropout=request.recipe.lora_dropout)


def _load(
    runtime: Runtime, checkpoint: Checkpoint, settings: GradientSettings, *, seed: int, dropout: float
) -> LoadedCheckpoint:
    adapter = runtime.files.adapter(checkpoint.adapter_digest) if checkpoint.adapter_digest else None
    return make_untrained(checkpoint, adapter, settings, runtime.load_options, seed=seed, dropout=dropout)


def find_model_type(runtime: Runtime, base: BaseModelRef) -> str:
    """What architecture a base model is, such as `bert`. Raises BaseModelNotFound."""
    folder = locate_base_model(base, runtime.load_options)
    config: Any = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    return str(config.model_type)


def adapter_fields(lora: LoraShape, model_type: str, task: TaskName) -> Json:
    """An adapter's configuration; without target modules PEFT's choice for the architecture, or ours for images.

    Raises UnsupportedModule where there is none.
    """
    # PEFT trains a head along by the task's type, and has none for images.
    heads = list(head_layers(model_type)) if TASKS[task].reads == "image" else None
    return {
        "peft_type": "LORA",
        "task_type": TASKS[task].peft_type,
        "r": lora.r,
        "lora_alpha": lora.lora_alpha,
        "target_modules": sorted(lora.target_modules or _usual_targets(model_type, task)),
        "modules_to_save": heads,
    }


def _usual_targets(model_type: str, task: TaskName) -> Sequence[str]:
    if TASKS[task].is_pipeline:
        return _OF_UNETS
    if TASKS[task].reads == "image":
        return require_usual_layers(model_type)
    targets: Sequence[str] | None = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(model_type)
    if targets is None:
        raise lacking_layers(model_type)
    return targets
