"""The LoRA of an image model, in whatever form a trainer saved it -> an accepted checkpoint on a diffusion pipeline."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from app.intake.adapter_folder import unpack_adapter
from app.intake.archives import ArchiveLimits
from influence.checkpoint_files.adapters.diffusion.files import LORA_FILE, choose_lora_files
from influence.checkpoint_files.adapters.diffusion.normal_form import normalise_lora
from influence.checkpoint_files.adapters.diffusion.training_notes import check_training
from influence.checkpoint_files.adapters.folders import CONFIG_FILE, WEIGHTS_FILE
from influence.checkpoint_files.bases.pipelines import PipelineFiles
from influence.checkpoint_files.config import canonical_fields, parse_adapter_config
from influence.checkpoint_files.safetensors_header import read_header, read_metadata
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.tasks import TEXT_TO_IMAGE, TaskName
from influence.digests import digest_file, digest_json
from influence.errors import InvalidRequest, TaskMismatch

_ZIP = b"PK"


def unpack_lora(upload: Path, destination: Path, limits: ArchiveLimits) -> None:
    """The adapter's files of an upload: a zip, or one safetensors file as it is. Raises UploadRefused and
    AdapterConfigRefused."""
    with upload.open("rb") as stream:
        is_zip = stream.read(len(_ZIP)) == _ZIP
    if is_zip:
        unpack_adapter(upload, destination, limits, choose=choose_lora_files)
    else:
        shutil.copyfile(upload, destination / LORA_FILE)


def accept_lora(
    folder: Path,
    base: BaseModelRef,
    *,
    task: TaskName | None = None,
    label_names: Sequence[str] | None = None,
    lora_alpha: float | None = None,
) -> Checkpoint:
    """Bring the adapter in `folder` into its normal form and say what it is; its id follows from contents alone.

    Equal weights are the same checkpoint in whatever form they came. Raises AdapterConfigRefused, AdapterMismatch,
    AdapterNotFinite, TaskMismatch, UnreadableFile, InvalidRequest, BaseModelNotFound, UnsupportedModule.
    """
    if task not in (None, TEXT_TO_IMAGE.name):
        raise TaskMismatch(f"The base model is an image pipeline, not for {task}.", hint="Leave 'task' out.")
    if label_names is not None:
        raise InvalidRequest("An image pipeline has no classes.", hint="Leave 'label_names' out.")
    pipeline = PipelineFiles(Path(base.location))
    notes = check_training(_metadata(folder), pipeline.record)
    warnings = (*normalise_lora(folder, pipeline.unet_tensors(), lora_alpha), *notes)
    config = parse_adapter_config((folder / CONFIG_FILE).read_bytes())
    shapes = [info.shape for info in read_header(folder / WEIGHTS_FILE).values()]
    adapter_digest = digest_json({"config": canonical_fields(config), "weights": digest_file(folder / WEIGHTS_FILE)})
    identity = {"adapter": adapter_digest, "base": base.digest, "task": TEXT_TO_IMAGE.name}
    parameters = sum(map(math.prod, shapes))
    return Checkpoint(
        id=f"ckpt_{digest_json(identity)}",
        base_model=base,
        task=TEXT_TO_IMAGE.name,
        adapter=config.model_dump(mode="json"),
        adapter_digest=adapter_digest,
        parameters=parameters,
        lora_parameters=parameters,
        tensors=len(shapes),
        pipeline=pipeline.record,
        warnings=warnings,
        created_at=now(),
    )


def _metadata(folder: Path) -> dict[str, str]:
    """What a single file says beside its tensors; a PEFT folder says it in its configuration."""
    file = folder / LORA_FILE
    return dict(read_metadata(file)) if file.is_file() else {}
