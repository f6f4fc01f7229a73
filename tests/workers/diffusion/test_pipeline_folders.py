"""Which diffusers folders are taken as a base, and what is refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from influence.checkpoint_files.base_models import BaseModels
from influence.checkpoint_files.bases.pipelines import PipelineFiles
from influence.contracts.checkpoint import PipelineRecord
from influence.errors import BaseModelNotFound, DatainfError, PathNotAllowed, PickleRefused, UnsupportedModule
from workers.loading.pipeline import load_unet


@pytest.fixture
def copy(latent_pipeline: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(latent_pipeline, tmp_path / "copy"))


def edit(file: Path, **fields: Any) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **fields}))


def test_a_pipeline_says_what_it_predicts_and_on_what(
    latent_pipeline: Path, velocity_pipeline: Path, pixel_pipeline: Path
) -> None:
    usual = PipelineRecord(
        prediction="epsilon", train_timesteps=1000, resolution=16, works_on="latents", pixels_per_place=2
    )
    assert PipelineFiles(latent_pipeline).record == usual
    assert PipelineFiles(velocity_pipeline).record == usual.model_copy(update={"prediction": "v_prediction"})
    pixels = {"works_on": "pixels", "pixels_per_place": 1}
    assert PipelineFiles(pixel_pipeline).record == usual.model_copy(update=pixels)


def test_a_pipeline_is_a_base_model_by_the_digest_of_its_parts(copy: Path) -> None:
    def digest() -> str | None:
        return BaseModels(aliases={}, allowed_roots=[copy.parent]).resolve(str(copy)).digest

    before = digest()
    (copy / "README.md").write_text("nothing that counts")
    assert digest() == before
    edit(copy / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    assert digest() not in (before, None)


@pytest.mark.parametrize(
    ("file", "fields", "kind", "says"),
    [
        ("model_index.json", {"_class_name": "StableDiffusion3Pipeline"}, UnsupportedModule, "flow matching"),
        ("model_index.json", {"_class_name": "FluxPipeline"}, UnsupportedModule, "flow matching"),
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, UnsupportedModule, "text_encoder_2"),
        ("model_index.json", {"_class_name": "StableDiffusionXLImg2ImgPipeline"}, UnsupportedModule, "Img2Img"),
        ("model_index.json", {"unet": ["diffusers", "SomeUNet"]}, UnsupportedModule, "unet"),
        ("model_index.json", {"text_encoder": ["transformers", "T5EncoderModel"]}, UnsupportedModule, "text_encoder"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderTiny"]}, UnsupportedModule, "vae"),
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            UnsupportedModule,
            "flow",
        ),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, UnsupportedModule, "prediction_type"),
        ("scheduler/scheduler_config.json", {"beta_schedule": None}, UnsupportedModule, "beta_schedule"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "exponential"}, UnsupportedModule, "beta_schedule"),
        ("scheduler/scheduler_config.json", {"timestep_type": "continuous"}, UnsupportedModule, "timestep_type"),
        ("scheduler/scheduler_config.json", {"use_flow_sigmas": True}, UnsupportedModule, "use_flow_sigmas"),
        ("vae/config.json", {"latents_mean": [0.1, 0.2, 0.3, 0.4]}, UnsupportedModule, "latents_mean"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "many"}, BaseModelNotFound, "num_train_timesteps"),
        ("unet/config.json", {"in_channels": 9}, UnsupportedModule, "inpainting"),
        ("unet/config.json", {"class_embed_type": "timestep"}, UnsupportedModule, "class_embed_type"),
        ("unet/config.json", {"sample_size": None}, BaseModelNotFound, "sample_size"),
        ("vae/config.json", {"latent_channels": 16}, UnsupportedModule, "channels"),
        ("vae/config.json", {"in_channels": 1}, UnsupportedModule, "1 channels, and rows are RGB"),
        ("text_encoder/config.json", {"use_attention_mask": True}, UnsupportedModule, "masks"),
        (
            "text_encoder/config.json",
            {"hidden_size": 24},
            UnsupportedModule,
            "width 16, and its text encoders write 24",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(
    file: str, fields: dict[str, Any], kind: type[DatainfError], says: str, copy: Path
) -> None:
    edit(copy / file, **fields)
    with pytest.raises(kind, match=says):
        PipelineFiles(copy)


def test_pickled_and_missing_weights_are_refused(copy: Path) -> None:
    weights = copy / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(copy / "unet/diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(BaseModelNotFound, match="has no diffusion_pytorch_model"):
        PipelineFiles(copy)
    (copy / "unet/diffusion_pytorch_model.bin").touch()
    with pytest.raises(PickleRefused):
        PipelineFiles(copy)


def test_links_out_of_the_allowed_roots_are_refused(copy: Path, latent_pipeline: Path) -> None:
    file = copy / "vae/config.json"
    file.unlink()
    file.symlink_to(latent_pipeline / "vae/config.json")
    with pytest.raises(PathNotAllowed):
        PipelineFiles(copy, [copy])


def test_weights_that_the_files_lack_are_not_made_up(copy: Path) -> None:
    edit(copy / "unet/config.json", layers_per_block=2)
    with pytest.raises(BaseModelNotFound, match="unet"):
        load_unet(copy, torch.float32)
