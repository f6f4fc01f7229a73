"""What kohya's trainer writes of a training into the file's metadata, held against how gradients are taken here."""

import json
import re
from collections.abc import Iterator, Mapping

from influence.contracts.checkpoint import PipelineRecord
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
    "ss_adaptive_noise_scale": "noise that depends on the image is not made here",
    "ss_noise_offset_random_strength": "an offset of random strength is not made here, only its full one",
    "ss_ip_noise_gamma_random_strength": "perturbed inputs are not made here",
    "ss_wavelet_loss_enabled": "losses of wavelets are not taken here",
    "ss_wavelet_loss": "losses of wavelets are not taken here",
    "ss_multiscale_loss_weight": "losses of several scales are not taken here",
    "ss_masked_loss": "masks of the loss are not read here",
    "ss_caption_dropout_rate": "rows are scored with their captions, never without",
    "ss_caption_dropout_every_n_epochs": "rows are scored with their captions, never without",
    "ss_caption_tag_dropout_rate": "rows are scored with the whole caption that was sent",
    "ss_shuffle_caption": "rows are scored with tags in the order that was sent",
    "ss_caption_prefix": "put it before the captions of the rows that it was for",
    "ss_caption_suffix": "put it behind the captions of the rows that it was for",
    "ss_enable_wildcard": "rows are scored with the caption that was sent, its choices unmade",
    "ss_flip_aug": "images are scored as they were sent, not mirrored",
    "ss_color_aug": "images are scored in the colours that were sent",
    "ss_random_crop": "the middle of an image is scored",
    "ss_face_crop_aug_range": "the middle of an image is scored",
    "ss_enable_bucket": "images had their own shapes; here the middle square of each is scored",
}
#: Modules of kohya's trainer that write plain factors and trained them otherwise.
_NETWORKS = {
    "lora_fa": "trained the second factor of each module alone; here gradients of both count",
    "dylora": "trained a part of the rank at each step; here gradients are of the whole",
}
_FULL_TIMESTEPS = ("0,999", "0,1000")


def check_training(metadata: Mapping[str, str], pipeline: PipelineRecord) -> tuple[str, ...]:
    """Warnings of what training did otherwise. Raises AdapterMismatch where the model read other texts or predicted
    something else than the base, or was trained on another loss than the squared error."""
    metadata = {**_of_datasets(metadata), **metadata}
    # Of SDXL the layer before the last is read whatever the trainer was told.
    if pipeline.text_encoders == 1:
        _refuse_skipped_layers(metadata.get("ss_clip_skip", ""))
    trained = metadata.get("modelspec.prediction_type", "")
    if not trained and metadata.get("ss_v_parameterization", "") not in _NONE:
        trained = "v"
    if trained and trained.startswith("v") != (pipeline.prediction == "v_prediction"):
        raise AdapterMismatch(
            f"The file says that training predicted {trained[:40]!r}; the base's scheduler says "
            f"{pipeline.prediction!r}.",
            hint="Name the base that the adapter was trained on, or correct prediction_type of its scheduler.",
        )
    if (loss := metadata.get("ss_loss_type", "l2")) not in ("l2", *_NONE):
        raise AdapterMismatch(
            f"The file says that training used the loss {loss[:40]!r}; scores are of the squared error.",
            hint="Train with the squared error (l2).",
        )
    return (*_warn(metadata), *_warn_of_sizes(metadata, pipeline.resolution))


def _of_datasets(metadata: Mapping[str, str]) -> dict[str, str]:
    """What trainings by a file of settings say of each data set and its parts (`ss_datasets`), by the names that the
    others have: the values that say something, each once."""
    try:
        told = json.loads(metadata.get("ss_datasets", "[]"))
    except (ValueError, RecursionError):
        return {}
    datasets = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    listed = (one["subsets"] for one in datasets if isinstance(one.get("subsets"), list))
    parts = [part for subsets in listed for part in subsets if isinstance(part, dict)]
    found: dict[str, dict[str, None]] = {}
    for name, value in (item for one in (*datasets, *parts) for item in one.items()):
        written = value if isinstance(value, str) else json.dumps(value)
        if isinstance(value, str | int | float | list) and written.strip() not in (*_NONE, "false", "[]"):
            found.setdefault(f"ss_{name}", {})[written] = None
    return {name: ", ".join(values) for name, values in found.items()}


def _warn(metadata: Mapping[str, str]) -> Iterator[str]:
    for name, what in _LOSSES.items():
        if (value := metadata.get(name, "")) not in _NONE:
            yield f"The file says that training used {name.removeprefix('ss_')} {value[:40]}: {what}."
    if (count := metadata.get("ss_num_reg_images", "")) not in _NONE:
        weight = metadata.get("ss_prior_loss_weight", "1.0")
        yield (
            f"The file says that training had {count[:20]} regularisation images beside, repeats counted, whose loss "
            f"was weighed by prior_loss_weight {weight[:20]}: every row weighs 1 here, and without those rows scores "
            "are of the others alone."
        )
    network = metadata.get("ss_network_module", "").rpartition(".")[2]
    if network in _NETWORKS:
        yield f"The file says that {network} {_NETWORKS[network]}."


def _warn_of_sizes(metadata: Mapping[str, str], resolution: int) -> Iterator[str]:
    """Pixels, tokens and timesteps of training that are not those of an index with its defaults."""
    sides = {int(side) for side in re.findall(r"\d{1,6}", metadata.get("ss_resolution", ""))}
    if sides and sides != {resolution}:
        yield (
            f"The file says that training had images of {metadata['ss_resolution'][:40]} pixels, and the base is for "
            f"{resolution}: send the side of its squares as 'resolution' in 'diffusion' of the index."
        )
    tokens = metadata.get("ss_max_token_length", "")
    if tokens not in (*_NONE, "75", "77"):
        yield (
            f"The file says that training read up to {tokens[:40]} tokens of a caption; here one that is longer than "
            "the text encoder's positions is cut."
        )
    timesteps = metadata.get("modelspec.timestep_range", "")
    if timesteps and timesteps not in _FULL_TIMESTEPS:
        yield f"The file says that training had the timesteps {timesteps[:40]} alone; here all count."


def _refuse_skipped_layers(written: str) -> None:
    if written in (*_NONE, "1"):
        return
    raise AdapterMismatch(
        f"The file says that training read texts with clip_skip {written[:40]}; here the last layer is read.",
        hint="Save the base with so many layers fewer, 1 for clip_skip 2: CLIPTextModel.from_pretrained(folder, "
        "num_hidden_layers=11) in text_encoder.",
    )
