"""Checkpoints: from an upload or a name to files by address and a record."""

from collections.abc import Callable, Sequence
from pathlib import Path

from app.http.context import Context
from app.http.idempotency import Accepted
from app.intake.adapter_folder import copy_adapter, unpack_adapter
from app.intake.adapters import accept_adapter
from app.intake.archives import ArchiveLimits
from app.intake.plain import accept_plain
from influence.contracts.checkpoint import BaseModelRef, CheckpointRequest
from influence.contracts.tasks import TaskName
from influence.errors import InvalidRequest
from influence.settings import OFFLINE

#: The most that deflate makes of a byte; the archive's own check of the ratio is tighter.
_MAX_EXPANSION = 4


def accept_upload(
    context: Context,
    archive: Path,
    *,
    base_model: str,
    revision: str | None,
    task: TaskName | None,
    label_names: Sequence[str] | None,
) -> Accepted:
    """A zip of an adapter folder. Raises UploadRefused, CheckpointRefused, RequestRefused."""
    most = context.settings.max_adapter_bytes * _MAX_EXPANSION
    limits = ArchiveLimits(max_file_bytes=most, max_total_bytes=most)
    return _accept(
        context, lambda folder: unpack_adapter(archive, folder, limits), base_model, revision, task, label_names
    )


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
    adapter = request.adapter

    def fetch(folder: Path) -> None:
        settings = context.settings
        if Path(adapter).is_absolute():
            source = context.base_models.allowed_folder(adapter)
            roots = [root.resolve() for root in settings.allowed_roots]
            copy_adapter(source, folder, max_file_bytes=settings.max_adapter_bytes, roots=roots)
        elif settings.hub_offline:
            raise InvalidRequest(OFFLINE, hint="Upload the adapter as a zip.")
        else:
            # Loading the hub client takes a third of the time in which the API has to be up.
            from app.intake.hub_model import fetch_adapter

            fetch_adapter(
                adapter, revision=request.adapter_revision, folder=folder, max_bytes=settings.max_adapter_bytes
            )

    return _accept(context, fetch, request.base_model, request.revision, request.task, request.label_names)


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
    model = resolve_base_model(context, base_model, revision)
    checkpoint = accept_plain(model, trainable, task=task, label_names=label_names)
    return Accepted(checkpoint.id, is_new=context.store.checkpoints.create(checkpoint))


def _accept(
    context: Context,
    fetch: Callable[[Path], None],
    base_model: str,
    revision: str | None,
    task: TaskName | None,
    label_names: Sequence[str] | None,
) -> Accepted:
    base = resolve_base_model(context, base_model, revision)
    with context.files.scratch() as scratch:
        folder = scratch / "adapter"
        folder.mkdir()
        fetch(folder)
        checkpoint = accept_adapter(folder, base, task=task, label_names=label_names)
        assert checkpoint.adapter_digest is not None
        context.files.keep(folder, context.files.adapter(checkpoint.adapter_digest))
    return Accepted(checkpoint.id, is_new=context.store.checkpoints.create(checkpoint))


def resolve_base_model(context: Context, name: str, revision: str | None) -> BaseModelRef:
    """Where a base model lies: a local one by the digest of its files, a hub model at one commit.

    Without the hub a name stays what it is, and must already be a commit to be one. Raises what `resolve` raises.
    """
    base = context.base_models.resolve(name, revision)
    if base.kind == "path" or context.settings.hub_offline:
        return base
    # Loading the hub client takes a third of the time in which the API has to be up.
    from app.intake.hub_model import pin_revision

    return pin_revision(base)
