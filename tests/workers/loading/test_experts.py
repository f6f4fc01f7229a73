"""Mixtures of experts: LoRA on the tensor that holds them all is exact; factors of single experts are refused."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.conversion_mapping as conversions
from safetensors.torch import load_file, save_file
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import IDS, accept, load_accepted, logits_of_peft, make_adapter
from transformers import (
    GptOssConfig,
    GptOssForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)
from transformers.core_model_loading import MergeModulelist, WeightConverter

from influence.checkpoint_files.adapters.experts import JOINED
from influence.errors import AdapterMismatch
from workers.gradients.collector import GradientCollector

WEIGHTS = "adapter_model.safetensors"
ROWS = [{"id": "0", "text": "refund my card please"}, {"id": "1", "text": "app slow"}]
_SIZES: dict[str, Any] = {
    "vocab_size": 46,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "num_experts_per_tok": 2,
}
EXPERTS = {"target_modules": ["q_proj"], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


def make_model(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "mixtral":
        return MixtralForCausalLM(MixtralConfig(**_SIZES, num_local_experts=4))
    if kind == "gpt_oss":
        return GptOssForCausalLM(GptOssConfig(**_SIZES, num_local_experts=4, head_dim=8))
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**_SIZES, num_experts=4, moe_intermediate_size=12, head_dim=8))


def make_base(kind: str, folder: Path, causal: TinyCheckpoint) -> Path:
    shutil.copytree(causal.base, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    make_model(kind).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "lora"),
    [
        ("mixtral", EXPERTS),
        ("mixtral", {"target_modules": ["q_proj", "w1", "w2", "w3"]}),
        ("qwen3_moe", EXPERTS),
        ("qwen3_moe", {"target_modules": "all-linear"}),
        ("gpt_oss", EXPERTS),
    ],
)
def test_adapter_on_all_experts_at_once_is_exact(
    kind: str, lora: dict[str, Any], causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = make_base(kind, tmp_path / "base", causal)
    make_adapter(base, tmp_path / "adapter", **lora)
    loaded = load_accepted(accept(base, tmp_path / "adapter"), tmp_path / "adapter")
    expected = logits_of_peft(base, tmp_path / "adapter")
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=0, atol=0)
    encoded = loaded.task.tokenise(ROWS)
    found = GradientCollector(loaded.model, loaded.task.row_losses).collect(loaded.task.collate(encoded))
    parameters = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    for place, row in enumerate(encoded):
        loss = loaded.task.row_losses(loaded.model, loaded.task.collate([row])).sum()
        for values, gradient in zip(found.blocks.values(), torch.autograd.grad(loss, parameters), strict=True):
            torch.testing.assert_close(values[place], gradient.flatten(), rtol=1e-3, atol=1e-6)


def make_single(folder: Path, base: Path) -> None:
    """An adapter as an earlier transformers left it: factors for each expert."""
    make_adapter(base, folder, target_modules=["q_proj"])
    weights = load_file(folder / WEIGHTS)
    for layer in range(2):
        for expert in range(4):
            for name, (inwards, outwards) in {"w1": (16, 24), "w2": (24, 16), "w3": (16, 24)}.items():
                module = f"base_model.model.model.layers.{layer}.block_sparse_moe.experts.{expert}.{name}"
                weights[f"{module}.lora_A.weight"] = torch.randn(2, inwards)
                weights[f"{module}.lora_B.weight"] = torch.randn(outwards, 2)
    save_file(weights, folder / WEIGHTS)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"] = ["q_proj", "w1", "w2", "w3"]
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_factors_of_single_experts_are_refused_when_they_are_sent_and_the_hint_leads_in(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = make_base("mixtral", tmp_path / "base", causal)
    make_single(tmp_path / "adapter", base)
    with pytest.raises(AdapterMismatch, match="one tensor") as caught:
        accept(base, tmp_path / "adapter")
    assert "target_parameters" in caught.value.hint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter").eval()
    converted.save_pretrained(tmp_path / "converted")
    loaded = load_accepted(accept(base, tmp_path / "converted"), tmp_path / "converted")
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, converted(input_ids=IDS).logits)


def test_list_of_models_with_joined_experts_is_that_of_the_installed_transformers() -> None:
    known = {
        kind
        for kind in conversions._build_checkpoint_conversion_mapping()
        for converter in conversions.get_checkpoint_conversion_mapping(kind) or ()
        if isinstance(converter, WeightConverter)
        and any(isinstance(operation, MergeModulelist) for operation in converter.operations)
    }
    types = {kind for kind in known if kind == kind.lower() and "vision" not in kind}
    assert types <= JOINED
