"""A diffusers folder as a base model: which files it needs, and whether its images can be scored.

A pipeline folder has a `model_index.json` and one folder for each part: `unet`, `text_encoder`, `tokenizer`,
`scheduler` and `vae`. One whose index names no `vae` works on pixels. Other parts (a safety checker, for one) are never
opened.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from influence.checkpoint_files.bases.json_file import read_json
from influence.checkpoint_files.bases.noise import ends_in_noise, read_prediction, refuse_flow_matching
from influence.checkpoint_files.safetensors_header import TensorInfo, read_header
from influence.contracts.checkpoint import PipelineRecord
from influence.errors import BaseModelNotFound, PathNotAllowed, PickleRefused, UnsupportedModule

INDEX = "model_index.json"
_CONFIG = "config.json"
#: Channels of an RGB image.
_COLOURS = 3
_SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
#: Classes of pipelines, and what their UNets read beside image, timestep and text.
_OFFERED = {"StableDiffusionPipeline": None, "StableDiffusionXLPipeline": "text_time"}
_XL = "StableDiffusionXLPipeline"
#: The classes of the parts; each is loaded by this name and no other.
_PARTS = {"unet": "UNet2DConditionModel", "text_encoder": "CLIPTextModel", "vae": "AutoencoderKL"}
_SECOND_PARTS = {"text_encoder_2": "CLIPTextModelWithProjection"}
#: How the weights of a part are called.
_WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "vae": "diffusion_pytorch_model",
}
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
#: What a UNet can be given beside the noisy image, the timestep and the text, which nobody gives it here.
_EXTRA_INPUTS = (
    "class_embed_type",
    "addition_embed_type",
    "encoder_hid_dim_type",
    "num_class_embeds",
    "time_cond_proj_dim",
)


def is_pipeline(folder: Path) -> bool:
    """Whether a folder is a diffusers pipeline."""
    return (folder / INDEX).is_file()


class PipelineFiles:
    """One folder. Raises BaseModelNotFound, PickleRefused, PathNotAllowed and UnsupportedModule on construction.

    With `roots`, every file has to lie below one of them once links are followed.
    """

    def __init__(self, folder: Path, roots: Sequence[Path] = ()) -> None:
        self.folder = folder
        index = read_json(folder / INDEX)
        _refuse_other_class(index)
        self._index = index
        self._is_xl = index.get("_class_name") == _XL
        known = {**_PARTS, **(_SECOND_PARTS if self._is_xl else {})}
        self.parts = [part for part in known if part != "vae" or _class_of(index, "vae") is not None]
        for part in self.parts:
            if _class_of(index, part) != known[part]:
                raise UnsupportedModule(
                    f"The pipeline's {part} is {_class_of(index, part)!r}; only {known[part]} is scored.",
                    hint="Name a Stable Diffusion 1.x, 2.x or XL pipeline, as save_pretrained wrote it.",
                )
        self.names = tuple(self._find_names())
        for name in self.names:
            resolved = (folder / name).resolve()
            if roots and not any(resolved.is_relative_to(root) for root in roots):
                raise PathNotAllowed(f"{folder / name} leads out of the allowed roots.")
        self.unet_config = read_json(folder / "unet" / _CONFIG)
        self.record = self._describe()

    def unet_tensors(self) -> dict[str, TensorInfo]:
        """All tensors of the UNet by name."""
        files = (name for name in self.names if name.startswith("unet/") and name.endswith(".safetensors"))
        return {name: info for file in files for name, info in read_header(self.folder / file).items()}

    def _find_names(self) -> list[str]:
        names = [INDEX, _SCHEDULER_CONFIG]
        for part in self.parts:
            names += [f"{part}/{_CONFIG}", *_find_weights(self.folder, part)]
        for name in names:
            if not (self.folder / name).is_file():
                raise BaseModelNotFound(f"{self.folder} has no {name}.")
        tokenizers = ("tokenizer", "tokenizer_2") if self._is_xl else ("tokenizer",)
        places = [f"{part}/{name}" for part in tokenizers for name in _TOKENIZER_FILES]
        return names + [place for place in places if (self.folder / place).is_file()]

    def _describe(self) -> PipelineRecord:
        scheduler = read_json(self.folder / _SCHEDULER_CONFIG)
        prediction = read_prediction(scheduler)
        self._refuse_other_unet()
        self._refuse_other_text()
        return PipelineRecord(
            prediction=prediction,
            train_timesteps=_positive(scheduler, "num_train_timesteps", 1000, _SCHEDULER_CONFIG),
            resolution=_positive(self.unet_config, "sample_size", 0, "unet/config.json") * self._pixels_per_place(),
            works_on="latents" if "vae" in self.parts else "pixels",
            pixels_per_place=self._pixels_per_place(),
            text_encoders=1 + self._is_xl,
            zeros_for_empty=self._is_xl and self._index.get("force_zeros_for_empty_prompt", True) is True,
            ends_in_noise=ends_in_noise(scheduler),
        )

    def _pixels_per_place(self) -> int:
        if "vae" not in self.parts:
            return 1
        blocks = read_json(self.folder / "vae" / _CONFIG).get("block_out_channels")
        return 1 << (len(blocks) - 1) if isinstance(blocks, list) and 1 <= len(blocks) <= 8 else 8

    def _refuse_other_unet(self) -> None:
        config = self.unet_config
        wanted = _OFFERED[str(self._index["_class_name"])]
        expected = {"addition_embed_type": wanted}
        given = [name for name in _EXTRA_INPUTS if config.get(name) != expected.get(name)]
        if given:
            raise UnsupportedModule(
                f"The UNet reads more than image, timestep and text: {given[0]} is {str(config.get(given[0]))[:60]!r}.",
                hint="Name a Stable Diffusion 1.x, 2.x or XL pipeline for text to image.",
            )
        inputs, outputs = config.get("in_channels", 4), config.get("out_channels", 4)
        if inputs != outputs:
            raise UnsupportedModule(
                f"The UNet takes {inputs} channels and gives {outputs}: inpainting, image editing and learned "
                "variances are not scored.",
                hint="Name a pipeline for text to image.",
            )
        vae = read_json(self.folder / "vae" / _CONFIG) if "vae" in self.parts else {"latent_channels": 3}
        if named := [name for name in ("latents_mean", "latents_std") if vae.get(name) is not None]:
            raise UnsupportedModule(
                f"The VAE scales every channel of its latents by itself ({named[0]}), which is not done here.",
                hint="Name a Stable Diffusion 1.x, 2.x or XL pipeline: their VAEs have one scaling_factor.",
            )
        channels = vae.get("latent_channels", 4)
        if inputs != channels:
            raise UnsupportedModule(
                f"The UNet takes {inputs} channels and {'the VAE makes' if 'vae' in self.parts else 'pixels have'} "
                f"{channels}.",
                hint="Name one whole pipeline, as save_pretrained wrote it; without a VAE its images are RGB.",
            )
        if (colours := vae.get("in_channels", _COLOURS)) != _COLOURS:
            raise UnsupportedModule(
                f"The VAE reads images of {str(colours)[:20]} channels, and rows are RGB.",
                hint="Name a pipeline whose images are RGB, as those of Stable Diffusion 1.x, 2.x and XL.",
            )

    def _refuse_other_text(self) -> None:
        """Raise UnsupportedModule where the UNet reads other texts than are written, or padding would be masked."""
        encoders = [part for part in self.parts if part.startswith("text_encoder")]
        configs = [read_json(self.folder / part / _CONFIG) for part in encoders]
        read = self.unet_config.get("cross_attention_dim")
        written = [int(one["hidden_size"]) for one in configs if isinstance(one.get("hidden_size"), int)]
        if isinstance(read, int) and len(written) == len(configs) and read != sum(written):
            raise UnsupportedModule(
                f"The UNet reads texts of width {read}, and its text encoders write {' + '.join(map(str, written))}.",
                hint="Name one whole pipeline, as save_pretrained wrote it: the text encoder is another's.",
            )
        if any(one.get("use_attention_mask") for one in configs):
            raise UnsupportedModule(
                "The pipeline masks the padding of texts (use_attention_mask), which is not done here.",
                hint="Name a Stable Diffusion 1.x, 2.x or XL pipeline: none of them does.",
            )


def _refuse_other_class(index: Mapping[str, Any]) -> None:
    name = index.get("_class_name")
    if name in _OFFERED:
        return
    refuse_flow_matching(str(name))
    raise UnsupportedModule(
        f"Pipelines of class {str(name)[:80]!r} are not scored; offered are {' and '.join(_OFFERED)}.",
        hint="Name the base that the adapter was trained on; refiners, inpainting and other pipelines are not offered.",
    )


def _class_of(index: Mapping[str, Any], part: str) -> str | None:
    """The class that the index names for a part; `[null, null]` stands for none."""
    named = index.get(part)
    return named[1] if isinstance(named, list) and len(named) == 2 and isinstance(named[1], str) else None


def _find_weights(folder: Path, part: str) -> list[str]:
    single, listed = f"{_WEIGHTS[part]}.safetensors", f"{_WEIGHTS[part]}.safetensors.index.json"
    if (folder / part / single).is_file():
        return [f"{part}/{single}"]
    if (folder / part / listed).is_file():
        return [f"{part}/{listed}", *(f"{part}/{name}" for name in _indexed_files(folder / part / listed))]
    if any(next((folder / part).glob(pattern), None) for pattern in ("*.bin", "*.ckpt", "*.pt", "*.pth")):
        raise PickleRefused(
            f"{folder / part} has its weights as pickles only.",
            hint="Save the pipeline again: pipeline.save_pretrained(folder, safe_serialization=True).",
        )
    raise BaseModelNotFound(
        f"{folder / part} has no {single}.",
        hint="Save the pipeline without a variant: DiffusionPipeline.from_pretrained(...).save_pretrained(folder).",
    )


def _indexed_files(index: Path) -> list[str]:
    listed = read_json(index).get("weight_map")
    files = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
    for name in files:
        is_plain = name.endswith(".safetensors") and "/" not in name and "\\" not in name and "\0" not in name
        if not is_plain:
            raise BaseModelNotFound(f"{index.name} names {name[:120]!r}, which is no file beside it.")
    return files


def _positive(config: Mapping[str, Any], name: str, default: int, file: str) -> int:
    value = config.get(name, default)
    if type(value) is not int or not 1 <= value <= 1 << 16:
        raise BaseModelNotFound(f"{file} has no usable {name}.", hint="Save the pipeline again with diffusers.")
    return value
