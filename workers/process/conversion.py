"""Packaged models as folders: quantised GGUF weights -> full precision, once.

`python -m workers.process.conversion smollm2-135m FOLDER` does it in a process of its own, whose memory is gone then.
"""

import shutil
import sys
from pathlib import Path

import torch
import transformers
from ulid import ULID

from influence.checkpoint_files.base_models import find_packaged
from influence.errors import DatainfError, Unavailable


def convert(alias: str, folder: Path) -> None:
    """Write the model and its tokenizer into `folder`, whole or not at all; what lies there already is kept.

    Raises BaseModelNotFound where the package is not installed, and Unavailable where its format has no reader here.
    """
    if folder.is_dir():
        return
    file = find_packaged(alias)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, local_files_only=True
        )
    except ImportError as error:
        raise Unavailable(
            f"{file.name} cannot be read: {str(error).splitlines()[0][:200]}",
            hint="Install its reader: pip install gguf",
        ) from error
    # The weights are plain by now: as quantised ones transformers would not save them.
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    model.is_quantized = False
    model.config._name_or_path = alias
    staging = folder.parent / f".{folder.name}.{ULID()}"
    try:
        model.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def main(alias: str, folder: Path) -> int:
    """Answers the exit code."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        convert(alias, folder)
    except DatainfError as error:
        print(f"Error: {error.detail}\nHint:  {error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
