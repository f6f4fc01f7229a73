"""Base models on the model hub: weights as safetensors, configuration and tokenizer, nothing that runs."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from influence.contracts.checkpoint import BaseModelRef
from influence.errors import BaseModelNotFound

#: Files that are ever fetched. No *.bin, no *.py.
_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "spiece.model", "*.txt")
#: Weights of other libraries in sub-folders, and readings that nobody here reads.
_IGNORED = ("onnx/*", "openvino/*", "original/*", "*/*")


def fetch_base_model(base: BaseModelRef, *, cache_dir: Path, offline: bool) -> Path:
    """Folder with the files of a hub model at its revision. Raises BaseModelNotFound."""
    try:
        return Path(
            snapshot_download(
                base.location,
                revision=base.revision,
                cache_dir=cache_dir,
                allow_patterns=list(_PATTERNS),
                ignore_patterns=list(_IGNORED),
                local_files_only=offline,
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        called = base.location if base.revision is None else f"{base.location} at {base.revision}"
        raise BaseModelNotFound(
            f"The hub model {called} cannot be fetched: {type(error).__name__}.",
            hint="The service works offline and the model is not in its cache; use a path or allow the hub."
            if offline
            else "Check id and revision; gated models need HF_TOKEN in the worker's environment.",
        ) from error
