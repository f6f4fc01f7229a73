"""What kohya's trainer writes of a training into the file's metadata, held against how gradients are taken here."""

from collections.abc import Iterator, Mapping

from influence.errors import AdapterMismatch

_NONE = ("", "None", "0", "0.0", "False", "false")
#: What changed the loss of training, and how the gradients here follow it where they can.
_LOSSES = {
    "ss_noise_offset": "send it as 'noise_offset' in 'diffusion' of the index",
    "ss_min_snr_gamma": "send it as 'snr_gamma' in 'diffusion' of the index",
    "ss_multires_noise_iterations": "noise of several scales is not made here",
    "ss_ip_noise_gamma": "perturbed inputs are not made here",
    "ss_debiased_estimation": "its weights of timesteps are not taken here",
    "ss_zero_terminal_snr": "name a base whose scheduler has rescale_betas_zero_snr",
}


def check_training(metadata: Mapping[str, str], prediction: str) -> tuple[str, ...]:
    """Warnings of what training did otherwise. Raises AdapterMismatch where the model read other texts or predicted
    something else than the base, or was trained on another loss than the squared error."""
    _refuse_skipped_layers(metadata.get("ss_clip_skip", ""))
    trained = metadata.get("modelspec.prediction_type", "")
    if trained and trained.startswith("v") != (prediction == "v_prediction"):
        raise AdapterMismatch(
            f"The file says that training predicted {trained[:40]!r}; the base's scheduler says {prediction!r}.",
            hint="Name the base that the adapter was trained on, or correct prediction_type of its scheduler.",
        )
    if (loss := metadata.get("ss_loss_type", "l2")) not in ("l2", *_NONE):
        raise AdapterMismatch(
            f"The file says that training used the loss {loss[:40]!r}; scores are of the squared error.",
            hint="Train with the squared error (l2).",
        )
    return tuple(_warn(metadata))


def _warn(metadata: Mapping[str, str]) -> Iterator[str]:
    for name, what in _LOSSES.items():
        if (value := metadata.get(name, "")) not in _NONE:
            yield f"The file says that training used {name.removeprefix('ss_')} {value[:40]}: {what}."


def _refuse_skipped_layers(written: str) -> None:
    if written in (*_NONE, "1"):
        return
    raise AdapterMismatch(
        f"The file says that training read texts with clip_skip {written[:40]}; here the last layer is read.",
        hint="Save the base with so many layers fewer, 1 for clip_skip 2: CLIPTextModel.from_pretrained(folder, "
        "num_hidden_layers=11) in text_encoder.",
    )
