"""Every form in which trainers save the LoRA of a UNet becomes the same files; anything else is refused by name."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from support.uploads.pipelines import ATTENTION, adapt_unet
from torch import Tensor

from app.intake.lora_files import accept_lora
from influence.checkpoint_files.adapters.diffusion.files import LORA_FILE, choose_lora_files
from influence.checkpoint_files.adapters.diffusion.normal_form import normalise_lora
from influence.checkpoint_files.adapters.folders import CONFIG_FILE, WEIGHTS_FILE
from influence.checkpoint_files.bases.pipelines import PipelineFiles
from influence.checkpoint_files.config import AdapterConfig, parse_adapter_config
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.errors import (
    AdapterConfigRefused,
    AdapterMismatch,
    AdapterNotFinite,
    DatainfError,
    InvalidRequest,
    PickleRefused,
)
from workers.loading.base_model import BaseModel
from workers.loading.pipeline import load_unet
from workers.loading.unet_adapter import attach_lora

PREFIX = "base_model.model."
TARGETS = (*ATTENTION, "conv1")
ALPHA, RANK = 3.0, 2
#: Blocks of the tiny UNet, with one layer in each, and of what lies in them.
FORMER = {
    "down_blocks_0_resnets_0": "input_blocks_1_0",
    "down_blocks_1_resnets_0": "input_blocks_3_0",
    "down_blocks_1_attentions_0": "input_blocks_3_1",
    "mid_block_resnets_0": "middle_block_0",
    "mid_block_attentions_0": "middle_block_1",
    "mid_block_resnets_1": "middle_block_2",
    "up_blocks_0_resnets_0": "output_blocks_0_0",
    "up_blocks_0_attentions_0": "output_blocks_0_1",
    "up_blocks_0_resnets_1": "output_blocks_1_0",
    "up_blocks_0_attentions_1": "output_blocks_1_1",
    "up_blocks_1_resnets_0": "output_blocks_2_0",
    "up_blocks_1_resnets_1": "output_blocks_3_0",
    "_conv1": "_in_layers_2",
}


def factors(model: Any) -> dict[str, Tensor]:
    """PEFT's names without the prefix: `<module>.lora_A.weight`."""
    return {name.removeprefix(PREFIX): value for name, value in get_peft_model_state_dict(model).items()}


def save_peft(model: Any, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)


def save_diffusers(model: Any, folder: Path, *, metadata: bool = True) -> None:
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=factors(model),
        unet_lora_adapter_metadata=model.peft_config["default"].to_dict() if metadata else None,
    )
    rename_only_file(folder)


def save_without_metadata(model: Any, folder: Path) -> None:
    save_diffusers(model, folder, metadata=False)


def save_adapter_of_model(model: Any, folder: Path) -> None:
    """As `unet.save_lora_adapter` does on a UNet with the adapter put in."""
    fields = {
        name: sorted(v) if isinstance(v, set) else v for name, v in model.peft_config["default"].to_dict().items()
    }
    save(factors(model), folder, {"format": "pt", "lora_adapter_metadata": json.dumps(fields)})


def save_kohya(model: Any, folder: Path, *, alphas: bool = True) -> None:
    save(kohya_tensors(model, alphas=alphas), folder)


def kohya_tensors(model: Any, *, alphas: bool = True) -> dict[str, Tensor]:
    found = {}
    for name, value in factors(model).items():
        module, _, part = name.partition(".lora_")
        flat = "lora_unet_" + module.replace(".", "_")
        found[f"{flat}.lora_{'down' if part.startswith('A') else 'up'}.weight"] = value
        if alphas:
            found[f"{flat}.alpha"] = torch.tensor(ALPHA)
    return found


def save_former_names(model: Any, folder: Path) -> None:
    """kohya's file of SDXL: blocks are called as the first code of these models did."""
    former = {}
    for name, value in kohya_tensors(model).items():
        for now, then in FORMER.items():
            name = name.replace(now, then)
        former[name] = value
    save(former, folder)


def save_lycoris(model: Any, folder: Path) -> None:
    save({name.replace("lora_unet_", "lycoris_"): value for name, value in kohya_tensors(model).items()}, folder)


def save_comfy(model: Any, folder: Path) -> None:
    """ComfyUI's file: names with dots below the checkpoint's own prefix, former ones here of the middle block."""
    middle = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2", "conv1": "in_layers.2"}
    found = {}
    for name, value in factors(model).items():
        module, _, part = name.partition(".lora_")
        if module.startswith("mid_block."):
            for now, then in middle.items():
                module = module.replace(now, then)
            module = module.replace("mid_block", "middle_block")
        inner = f"diffusion_model.{module}"
        found[f"{inner}.lora_{'down' if part.startswith('A') else 'up'}.weight"] = value
        found[f"{inner}.alpha"] = torch.tensor(int(ALPHA), dtype=torch.int16)
    save(found, folder)


def save_single_places(model: Any, folder: Path) -> None:
    """Factors of linear layers in the four dimensions of convolutions, those of convolutions of one place in two."""
    tensors = kohya_tensors(model)
    for name, value in tensors.items():
        if value.ndim == 2:
            tensors[name] = value[..., None, None]
        elif value.shape[2:] == (1, 1):
            tensors[name] = value[..., 0, 0]
    save(tensors, folder)


def save_below_unet(model: Any, folder: Path) -> None:
    """PEFT's own names below the part's."""
    metadata = {"lora_adapter_metadata": json.dumps({"text_encoder.r": 4, "text_encoder.lora_alpha": 8})}
    save({f"unet.{PREFIX}{name}": value for name, value in factors(model).items()}, folder, metadata)


def save_processors(model: Any, folder: Path) -> None:
    """The attention processors of diffusers 0.x, with alphas beside them."""
    found = {}
    for name, value in factors(model).items():
        module, _, part = name.partition(".lora_")
        layer = module.rpartition(".to_")[2].partition(".")[0]
        inside = f"unet.{module.rpartition('.to_')[0]}.processor.to_{layer}_lora"
        found[f"{inside}.{'down' if part.startswith('A') else 'up'}.weight"] = value
        found[f"unet.{module}.alpha"] = torch.tensor(ALPHA, dtype=torch.bfloat16)
    save(found, folder)


def save(tensors: dict[str, Tensor], folder: Path, metadata: dict[str, str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / LORA_FILE, metadata)


def rename_only_file(folder: Path) -> None:
    (folder / "pytorch_lora_weights.safetensors").rename(folder / LORA_FILE)


def normalise(pipeline: Path, folder: Path, alpha: float | None = None) -> tuple[str, ...]:
    return normalise_lora(folder, PipelineFiles(pipeline).unet_tensors(), alpha)


def config_of(folder: Path) -> AdapterConfig:
    return parse_adapter_config((folder / CONFIG_FILE).read_bytes())


@pytest.mark.parametrize(
    ("form", "targets", "alpha"),
    [
        (save_diffusers, TARGETS, None),
        (save_without_metadata, TARGETS, ALPHA),
        (save_adapter_of_model, TARGETS, None),
        (save_kohya, TARGETS, None),
        (save_former_names, TARGETS, None),
        (save_lycoris, TARGETS, None),
        (save_comfy, TARGETS, None),
        (save_single_places, TARGETS, None),
        (save_below_unet, TARGETS, ALPHA),
        (save_processors, ATTENTION, None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_form_becomes_the_same_bytes_as_the_peft_folder(
    form: Any, targets: tuple[str, ...], alpha: float | None, latent_pipeline: Path, tmp_path: Path
) -> None:
    model = adapt_unet(latent_pipeline, targets=targets, r=RANK, lora_alpha=ALPHA)
    save_peft(model, tmp_path / "peft")
    form(model, tmp_path / "other")
    assert normalise(latent_pipeline, tmp_path / "peft") == ()
    assert normalise(latent_pipeline, tmp_path / "other", alpha) == ()
    assert {file.name for file in (tmp_path / "other").iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "peft" / name).read_bytes()


@pytest.mark.parametrize(
    "settings", [{}, {"use_rslora": True}, {"rank_pattern": {"to_q": 3}, "alpha_pattern": {"to_k": 7}}]
)
def test_the_loaded_unet_computes_what_the_trained_one_did(
    settings: dict[str, Any], latent_pipeline: Path, tmp_path: Path
) -> None:
    model = adapt_unet(latent_pipeline, targets=TARGETS, r=RANK, lora_alpha=ALPHA, **settings).eval()
    save_diffusers(model, tmp_path / "lora")
    normalise(latent_pipeline, tmp_path / "lora")
    unet = load_unet(latent_pipeline, torch.float32)
    loaded = attach_lora(BaseModel(unet, frozenset()), config_of(tmp_path / "lora"), tmp_path / "lora", "any").model
    x, states = torch.randn(2, 4, 8, 8), torch.randn(2, 8, 16)
    with torch.no_grad():
        answers = [whole(x, torch.tensor([5, 9]), encoder_hidden_states=states).sample for whole in (model, loaded)]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-5, atol=1e-6)
    assert sum(p.requires_grad for p in loaded.parameters()) == len(factors(model))


def test_a_file_that_says_no_alpha_is_warned_of_or_told_it(latent_pipeline: Path, tmp_path: Path) -> None:
    model = adapt_unet(latent_pipeline, r=RANK, lora_alpha=ALPHA)
    save_without_metadata(model, tmp_path / "silent")
    (warning,) = normalise(latent_pipeline, tmp_path / "silent")
    assert "alpha is taken to be the rank" in warning
    assert config_of(tmp_path / "silent").lora_alpha == RANK
    save_kohya(model, tmp_path / "told", alphas=False)
    assert normalise(latent_pipeline, tmp_path / "told", 8.0) == ()
    assert config_of(tmp_path / "told").lora_alpha == 8


def test_modules_that_say_no_alpha_are_told_it_beside_those_that_do(latent_pipeline: Path, tmp_path: Path) -> None:
    tensors = kohya_tensors(adapt_unet(latent_pipeline, r=RANK, lora_alpha=ALPHA))
    tensors.pop(next(name for name in tensors if name.endswith(".alpha")))
    save(tensors, tmp_path / "a")
    assert normalise(latent_pipeline, tmp_path / "a", 8.0) == ()
    found = config_of(tmp_path / "a")
    assert (found.lora_alpha, list(found.alpha_pattern.values())) == (ALPHA, [8.0])


def test_an_alpha_that_the_file_says_is_not_overruled(latent_pipeline: Path, tmp_path: Path) -> None:
    save_kohya(adapt_unet(latent_pipeline), tmp_path / "a")
    with pytest.raises(InvalidRequest, match="says its own alpha"):
        normalise(latent_pipeline, tmp_path / "a", 8.0)


def test_a_file_says_how_it_was_trained(latent_pipeline: Path, tmp_path: Path) -> None:
    base = BaseModelRef(name="tiny", kind="path", location=str(latent_pipeline), digest="any")

    def accept(**metadata: str) -> Checkpoint:
        save(kohya_tensors(adapt_unet(latent_pipeline)), tmp_path / "a", metadata)
        return accept_lora(tmp_path / "a", base)

    assert accept().warnings == ()
    assert "'noise_offset'" in accept(ss_noise_offset="0.1").warnings[0]
    with pytest.raises(AdapterMismatch, match="clip_skip 2"):
        accept(ss_clip_skip="2")
    with pytest.raises(AdapterMismatch, match="training predicted 'v'"):
        accept(ss_v_parameterization="true")
    assert accept(ss_num_reg_images="0", ss_prior_loss_weight="0.5").warnings == ()
    (warning,) = accept(ss_num_reg_images="40", ss_prior_loss_weight="0.5").warnings
    assert "40 regularisation images" in warning
    assert "prior_loss_weight 0.5" in warning


def test_a_file_says_how_each_of_its_data_sets_was_trained_on(latent_pipeline: Path, tmp_path: Path) -> None:
    """Trainings by a file of settings keep that in one field, and leave out those of a single folder."""
    base = BaseModelRef(name="tiny", kind="path", location=str(latent_pipeline), digest="any")
    silent = {"flip_aug": False, "shuffle_caption": False, "caption_prefix": None, "is_reg": False}
    told = [
        {"enable_bucket": False, "num_reg_images": 0, "bucket_info": {"x": 1}, "subsets": [silent]},
        {"enable_bucket": True, "num_reg_images": 6, "subsets": [silent, {**silent, "caption_prefix": "a photo of"}]},
        {"subsets": [{**silent, "flip_aug": True}]},
    ]

    def warn(datasets: Any) -> tuple[str, ...]:
        notes = {"ss_datasets": datasets if isinstance(datasets, str) else json.dumps(datasets)}
        save(kohya_tensors(adapt_unet(latent_pipeline)), tmp_path / "a", notes)
        return accept_lora(tmp_path / "a", base).warnings

    assert warn(told[:1]) == ()
    found = warn(told)
    for said in ("caption_prefix a photo of", "flip_aug true", "enable_bucket true", "6 regularisation images"):
        assert said in str(found)
    assert len(found) == 4
    for broken in ("{", "[1]", '[{"subsets": 3}]', '{"subsets": []}'):
        assert warn(broken) == ()


def one(model: Any) -> str:
    return next(name for name in kohya_tensors(model) if name.endswith("lora_down.weight"))


def add(tensors: dict[str, Tensor], name: str, like: str) -> None:
    tensors[name] = tensors[like].clone()


def module_of(name: str) -> str:
    return name.partition(".lora_down")[0]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t, n: add(t, "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", n), "text encoder"),
        (lambda t, n: add(t, "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", n), "text encoder"),
        (lambda t, n: add(t, f"{module_of(n)}.dora_scale", n), "DoRA"),
        (lambda t, n: add(t, f"{module_of(n)}.lora_mid.weight", n), "three factors"),
        (lambda t, n: add(t, f"{module_of(n)}.hada_w1_a", n), "LoHa"),
        (lambda t, n: add(t, "transformer.blocks.0.attn.to_q.lora_A.weight", n), "flow matching"),
        (lambda t, n: add(t, "lora_transformer_blocks_0_attn_to_q.lora_down.weight", n), "flow matching"),
        (lambda t, n: add(t, f"{module_of(n)}.oft_blocks", n), "is OFT"),
        (lambda t, n: add(t, f"{module_of(n)}.scalar", n), "a number of its own"),
        (lambda t, n: add(t, f"{module_of(n)}.diff_b", n), "by itself"),
        (lambda t, n: add(t, "bundle_emb.style.string_to_param.*", n), "embedding"),
        (lambda t, n: add(t, "lora_unet_input_blocks_9_1_proj_in.lora_down.weight", n), "no module"),
        (lambda t, n: add(t, "unet.mid_block.attentions.9.to_q.lora_A.weight", n), "no module"),
        (lambda t, n: t.pop(n), "missing"),
        (lambda t, n: t.update({n: t[n][:, :3].contiguous()}), "wrong shape"),
        (lambda t, n: t.update({n: t[n] * float("nan")}), "NaN"),
        (lambda t, n: t.update({f"{module_of(n)}.alpha": torch.tensor(float("nan"))}), "no alpha"),
        (lambda t, n: t.update({f"{module_of(n)}.alpha": torch.ones(3)}), "no single number"),
        (lambda t, n: t.clear(), "no LoRA"),
    ],
)
def test_what_is_no_plain_lora_of_this_unet_is_refused_by_name(
    spoil: Any, says: str, latent_pipeline: Path, tmp_path: Path
) -> None:
    model = adapt_unet(latent_pipeline)
    tensors = kohya_tensors(model)
    spoil(tensors, one(model))
    save(tensors, tmp_path / "a")
    with pytest.raises(DatainfError, match=says) as refused:
        normalise(latent_pipeline, tmp_path / "a")
    assert isinstance(refused.value, AdapterMismatch | AdapterNotFinite)


def test_two_names_of_one_factor_are_refused(latent_pipeline: Path, tmp_path: Path) -> None:
    model = adapt_unet(latent_pipeline)
    name = next(iter(factors(model)))
    save({**kohya_tensors(model), f"unet.{name}": factors(model)[name].clone()}, tmp_path / "a")
    with pytest.raises(AdapterMismatch, match="same part"):
        normalise(latent_pipeline, tmp_path / "a")


@pytest.mark.parametrize("field", [{"use_dora": True}, {"lora_bias": True}, {"r": 5}, {"target_modules": ["to_q"]}])
def test_metadata_that_speaks_of_another_adapter_is_refused(
    field: dict[str, Any], latent_pipeline: Path, tmp_path: Path
) -> None:
    model = adapt_unet(latent_pipeline)
    written = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": list(ATTENTION), **field}
    metadata = {f"unet.{name}": value for name, value in written.items()}
    save(factors(model), tmp_path / "a", {"lora_adapter_metadata": json.dumps(metadata)})
    with pytest.raises(AdapterMismatch):
        normalise(latent_pipeline, tmp_path / "a")


@pytest.mark.parametrize("content", ["nonsense", "[]", '{"unet.r": 2}', '{"unet.peft_type": "LOHA"}'])
def test_metadata_that_cannot_be_read_is_refused(content: str, latent_pipeline: Path, tmp_path: Path) -> None:
    save(factors(adapt_unet(latent_pipeline)), tmp_path / "a", {"lora_adapter_metadata": content})
    with pytest.raises(AdapterConfigRefused):
        normalise(latent_pipeline, tmp_path / "a")


def test_the_weights_are_copied_to_the_bit(latent_pipeline: Path, tmp_path: Path) -> None:
    model = adapt_unet(latent_pipeline)
    save_kohya(model, tmp_path / "a")
    normalise(latent_pipeline, tmp_path / "a")
    found = load_file(tmp_path / "a" / WEIGHTS_FILE)
    assert all(torch.equal(found[PREFIX + name], value) for name, value in factors(model).items())


def test_the_one_file_of_an_adapter_is_chosen_by_name() -> None:
    assert choose_lora_files(["a/pytorch_lora_weights.safetensors", "a/other.safetensors"]) == {
        "a/pytorch_lora_weights.safetensors": LORA_FILE
    }
    assert choose_lora_files(["style.safetensors", "readme.md"]) == {"style.safetensors": LORA_FILE}
    peft = ["unet/adapter_config.json", "unet/adapter_model.safetensors", "unet/README.md"]
    assert choose_lora_files(peft) == {peft[0]: CONFIG_FILE, peft[1]: WEIGHTS_FILE}
    with pytest.raises(PickleRefused):
        choose_lora_files(["pytorch_lora_weights.bin"])
    with pytest.raises(AdapterConfigRefused, match="there are 2"):
        choose_lora_files(["a.safetensors", "b.safetensors"])
    with pytest.raises(AdapterConfigRefused, match="there are 0"):
        choose_lora_files(["readme.md"])
