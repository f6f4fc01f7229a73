"""The LoRA of an image model on its UNet, tensor by tensor."""

from pathlib import Path

import torch
from peft import get_peft_model_state_dict

from influence.checkpoint_files.config import AdapterConfig
from influence.contracts.tasks import TaskName
from workers.loading.adapter import WEIGHTS_FILE, Attached, read_weights, refuse_mismatch, wrap_base
from workers.loading.base_model import BaseModel


def attach_lora(unet: BaseModel, config: AdapterConfig, folder: Path, task: TaskName) -> Attached:
    """The UNet with the adapter's weights, in evaluation mode; only the factors require a gradient.

    Raises AdapterMismatch, AdapterNotFinite, UnsupportedModule.
    """
    weights = read_weights(folder / WEIGHTS_FILE)
    model = wrap_base(unet, config, task)
    places = get_peft_model_state_dict(model)
    refuse_mismatch(places, weights)
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(weights[name])
    model.eval()
    return Attached(model, keeps_base=True)
