"""Which file of an upload holds the LoRA of an image model, by names alone."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from influence.checkpoint_files.adapters.folders import CONFIG_FILE, WEIGHTS_FILE, choose_files, find_folders
from influence.errors import AdapterConfigRefused, PickleRefused

#: What diffusers calls its file, and what any file without a configuration beside it is called here.
DIFFUSERS_FILE, LORA_FILE = "pytorch_lora_weights.safetensors", "lora.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_SHOWN = 10


def choose_lora_files(names: Iterable[str]) -> dict[str, str]:
    """The files of the one adapter among relative paths: path -> plain name.

    A PEFT folder has its configuration and weights, everything else one safetensors file. Raises AdapterConfigRefused
    where there is none or more than one, PickleRefused where weights are pickled only.
    """
    paths = sorted({str(PurePosixPath(name)) for name in names})
    if find_folders(paths):
        return {path: name for path, name in choose_files(paths).items() if name in (CONFIG_FILE, WEIGHTS_FILE)}
    files = [path for path in paths if path.endswith(".safetensors")]
    files = [path for path in files if PurePosixPath(path).name == DIFFUSERS_FILE] or files
    if not files and (pickled := [path for path in paths if path.endswith(_PICKLES)]):
        raise PickleRefused(f"The adapter's weights are pickled ({pickled[0][:120]}).")
    if len(files) != 1:
        named = f": {', '.join(files[:_SHOWN])}" if files else ""
        raise AdapterConfigRefused(
            f"An adapter is one safetensors file, and there are {len(files)}{named}.",
            hint=f"Send {DIFFUSERS_FILE}, a kohya file, or the folder that PEFT's save_pretrained wrote, by itself.",
            extra={"files": files[:100]},
        )
    return {files[0]: LORA_FILE}
