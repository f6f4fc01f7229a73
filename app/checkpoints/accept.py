"""Checkpoints: from an upload or a name to files by address and a record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checks.base_model import look_at_hub, resolve_base_model
from app.http.context import Context
from app.http.idempotency import Accepted
from app.intake.adapter_folder import copy_adapter, unpack_adapter
from app.intake.adapters import accept_adapter
from app.intake.archives import ArchiveLimits
from app.intake.lora_files import accept_lora, unpack_lora
from app.intake.plain import accept_plain
from influence.checkpoint_files.adapters.diffusion.files import choose_lora_files
from influence.checkpoint_files.adapters.folders import choose_files
from influence.checkpoint_files.bases.pipelines import is_pipeline
from influence.contracts.checkpoint import BaseModelRef, Checkpoint, CheckpointRequest
from influence.contracts.tasks import TEXT_TO_IMAGE, TaskName
from influence.digests import digest_within
from influence.errors import BaseModelNotFound, InvalidRequest
from influence.settings import OFFLINE

#: The most that deflate makes of a byte; the archive's own check of the ratio is tighter.
_MAX_EXPANSION = 4


@dataclass(frozen=True, slots=True)
class Said:
    """What a request says of an adapter beside its files and its base model."""

    task: TaskName | None = None
    label_names: Sequence[str] | None = None
    lora_alpha: float | None = None


def accept_upload(context: Context, archive: Path, *, base_model: str, revision: str | None, said: Said) -> Accepted:
    """A zip of an adapter folder, or the LoRA file of an image model. Raises UploadRefused, CheckpointRefused,
    RequestRefused."""
    limits = archive_limits(context)
    base = _resolve(context, base_model, revision, said)
    unpack = unpack_lora if makes_images(base) else unpack_adapter
    return _accept(context, lambda folder: unpack(archive, folder, limits), base, said)


def archive_limits(context: Context) -> ArchiveLimits:
    """What an uploaded archive may unpack to."""
    most = context.settings.max_adapter_bytes * _MAX_EXPANSION
    return ArchiveLimits(max_file_bytes=most, max_total_bytes=most)


def accept_named(context: Context, request: CheckpointRequest) -> Accepted:
    """A folder under the allowed roots, or a hub id. Raises UploadRefused, CheckpointRefused, RequestRefused."""
    if request.adapter is None:
        return accept_trained(
            context,
            request.trainable or [],
            base_model=request.base_model,
            revision=request.revision,
            task=request.task,
            label_names=request.label_names,
        )
    adapter, said = request.adapter, Said(request.task, request.label_names, request.lora_alpha)
    base = _resolve(context, request.base_model, request.revision, said)
    choose = choose_lora_files if makes_images(base) else choose_files

    def fetch(folder: Path) -> None:
        settings = context.settings
        if Path(adapter).is_absolute():
            source = context.base_models.allowed_folder(adapter)
            roots = [root.resolve() for root in settings.allowed_roots]
            copy_adapter(source, folder, max_file_bytes=settings.max_adapter_bytes, roots=roots, choose=choose)
        elif settings.hub_offline:
            raise InvalidRequest(OFFLINE, hint="Upload the adapter as a zip.")
        else:
            # Loading the hub client takes a third of the time in which the API has to be up.
            from app.intake.hub_model import fetch_adapter

            fetch_adapter(
                adapter,
                revision=request.adapter_revision,
                folder=folder,
                max_bytes=settings.max_adapter_bytes,
                choose=choose,
            )

    return _accept(context, fetch, base, said)


def accept_trained(
    context: Context,
    trainable: Sequence[str],
    *,
    base_model: str,
    revision: str | None,
    task: TaskName | None,
    label_names: Sequence[str] | None,
) -> Accepted:
    """A plain model of which some weights were trained. Raises CheckpointRefused, RequestRefused, UnreadableFile."""
    model = _resolve(context, base_model, revision, Said(task))
    if makes_images(model):
        raise InvalidRequest(
            "Image pipelines are scored with the adapter that was trained on them.",
            hint="Send the LoRA of the UNet, and leave 'trainable' out.",
            extra={"field": "trainable"},
        )
    doubts, hub_config = look_at_hub(context, model)
    accepted = accept_plain(model, trainable, task=task, label_names=label_names, hub_config=hub_config)
    checkpoint = in_namespace(context, with_doubts(accepted, doubts))
    return Accepted(checkpoint.id, is_new=_keep_record(context, checkpoint))


def _accept(context: Context, fetch: Callable[[Path], None], base: BaseModelRef, said: Said) -> Accepted:
    with context.files.scratch() as scratch:
        folder = scratch / "adapter"
        folder.mkdir()
        doubts, hub_config = look_at_hub(context, base)
        fetch(folder)
        checkpoint = in_namespace(context, with_doubts(_describe(folder, base, said, hub_config), doubts))
        return Accepted(checkpoint.id, is_new=keep_checkpoint(context, folder, checkpoint))


def with_doubts(checkpoint: Checkpoint, doubts: Sequence[str]) -> Checkpoint:
    """The record with more of what may be wrong."""
    return checkpoint.model_copy(update={"warnings": (*doubts, *checkpoint.warnings)})


def in_namespace(context: Context, checkpoint: Checkpoint) -> Checkpoint:
    """The record at an address of its own in each namespace; an adapter's files are shared by their digest."""
    address = digest_within(context.namespace, checkpoint.id.removeprefix("ckpt_"))
    return checkpoint.model_copy(update={"id": f"ckpt_{address}", "namespace": context.namespace})


def keep_checkpoint(context: Context, folder: Path, checkpoint: Checkpoint) -> bool:
    """Move an accepted adapter to its address and write its record; False where it was there."""
    assert checkpoint.adapter_digest is not None
    context.files.keep_adapter(folder, checkpoint.adapter_digest)
    return _keep_record(context, checkpoint)


def _keep_record(context: Context, checkpoint: Checkpoint) -> bool:
    """Write the record; False where it was there. What files beside the weights say that is not part of the address is
    kept as it came last."""
    if context.store.checkpoints.create(checkpoint):
        return True
    said = {"training": checkpoint.training, "warnings": checkpoint.warnings}
    context.store.checkpoints.update(checkpoint.id, lambda found: found.model_copy(update=said))
    return False


def _describe(folder: Path, base: BaseModelRef, said: Said, hub_config: Mapping[str, Any]) -> Checkpoint:
    if makes_images(base):
        return accept_lora(folder, base, task=said.task, label_names=said.label_names, lora_alpha=said.lora_alpha)
    if said.lora_alpha is not None:
        raise InvalidRequest(
            "'lora_alpha' is for LoRA files of image models; this adapter's configuration says its own.",
            hint="Leave 'lora_alpha' out.",
            extra={"field": "lora_alpha"},
        )
    return accept_adapter(folder, base, task=said.task, label_names=said.label_names, hub_config=hub_config)


def _resolve(context: Context, name: str, revision: str | None, said: Said) -> BaseModelRef:
    base = resolve_base_model(context, name, revision)
    if said.task == TEXT_TO_IMAGE.name and not makes_images(base):
        raise BaseModelNotFound(
            f"{name[:120]!r} is no folder of a diffusion pipeline on this machine.",
            hint="Download the pipeline, huggingface_hub.snapshot_download(...), and name its folder or an alias.",
        )
    return base


def makes_images(base: BaseModelRef) -> bool:
    """Whether a base is the folder of a diffusion pipeline."""
    return base.kind == "path" and is_pipeline(Path(base.location))
