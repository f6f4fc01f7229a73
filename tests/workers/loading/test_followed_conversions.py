"""What is said to do with adapters of other kinds, done: the model is then the one that was trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoHaConfig, PeftConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import IDS, accept, load_accepted, logits_of_peft, make_adapter
from transformers import AutoModelForCausalLM, AutoTokenizer

from app.intake.plain import accept_plain
from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.index import GradientSettings
from influence.errors import AdapterConfigRefused
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


def refuse(causal: TinyCheckpoint, folder: Path) -> str:
    with pytest.raises(AdapterConfigRefused) as caught:
        accept(causal.base, folder)
    return caught.value.hint


def test_an_adapter_of_mlx_lm_is_scored_once_it_is_written_as_the_hint_says(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    make_adapter(causal.base, tmp_path / "peft", r=2, lora_alpha=20, target_modules=["q_proj", "v_proj"])
    expected = logits_of_peft(causal.base, tmp_path / "peft")
    # As mlx-lm writes it: factors the other way round, a scale in place of alpha.
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(tmp_path / "peft" / WEIGHTS).items():
        short = name.removeprefix("base_model.model.").replace(".lora_A.weight", ".lora_a")
        weights[short.replace(".lora_B.weight", ".lora_b")] = tensor.T.contiguous()
    (tmp_path / "mlx").mkdir()
    mlx: dict[str, Any] = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": {"rank": 2, "scale": 10.0}}
    (tmp_path / "mlx" / CONFIG).write_text(json.dumps(mlx))
    save_file(weights, tmp_path / "mlx" / WEIGHTS)
    assert "lora_a and lora_b transposed" in refuse(causal, tmp_path / "mlx")
    written = {
        name.replace(".lora_a", ".lora_A.weight").replace(".lora_b", ".lora_B.weight"): tensor.T.contiguous()
        for name, tensor in weights.items()
    }
    (tmp_path / "written").mkdir()
    save_file(written, tmp_path / "written" / WEIGHTS)
    rank, scale = mlx["lora_parameters"]["rank"], mlx["lora_parameters"]["scale"]
    fields = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": scale * rank}
    (tmp_path / "written" / CONFIG).write_text(json.dumps({**fields, "target_modules": ["q_proj", "v_proj"]}))
    loaded = load_accepted(accept(causal.base, tmp_path / "written"), tmp_path / "written")
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected)


def train(causal: TinyCheckpoint, folder: Path, config: PeftConfig) -> Any:
    torch.manual_seed(0)
    adapted: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(causal.base), config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    adapted.save_pretrained(folder)
    return adapted.eval()


@pytest.mark.parametrize(
    "config",
    [
        IA3Config(task_type="CAUSAL_LM", target_modules=["q_proj"], feedforward_modules=[]),
        LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2),
    ],
    ids=["IA3", "LoHa"],
)
def test_other_kinds_are_scored_once_they_are_merged(
    causal: TinyCheckpoint, tmp_path: Path, config: PeftConfig
) -> None:
    expected = train(causal, tmp_path / "adapter", config)(input_ids=IDS).logits
    assert "merge_and_unload().save_pretrained(folder)" in refuse(causal, tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(causal.base)
    merged: Any = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    merged.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(causal.base).save_pretrained(tmp_path / "merged")
    found = BaseModels(aliases={}, allowed_roots=[tmp_path]).resolve(str(tmp_path / "merged"))
    options = LoadOptions(cache_dir=tmp_path)
    loaded = load_checkpoint(accept_plain(found, ["*.q_proj"]), None, GradientSettings(), options)
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected)


def test_kinds_that_cannot_be_merged_are_told_so(causal: TinyCheckpoint, tmp_path: Path) -> None:
    train(causal, tmp_path / "prompts", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    assert "cannot be merged" in refuse(causal, tmp_path / "prompts")
