"""The image processor that a model's files describe."""

from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor

from influence.checkpoint_files.task.processor import check_processor
from influence.errors import BaseModelNotFound
from influence.rows.images.store import ImageStore
from workers.tasks.pixels import PixelReader


def load_pixel_reader(base: Path, adapter: Path | None, config: Any, images: ImageStore) -> PixelReader:
    """Load from local files; code in the folder is never run. Raises BaseModelNotFound and TaskMismatch."""
    check_processor(base, adapter)
    try:
        processor = AutoImageProcessor.from_pretrained(
            str(base), backend="pil", local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise BaseModelNotFound(
            f"The base model's image processor cannot be loaded: {str(error).strip()[:200]}",
            hint="The folder needs preprocessor_config.json, of an image processor known here.",
        ) from error
    return PixelReader(processor, images, channels=int(getattr(config, "num_channels", 3)))
