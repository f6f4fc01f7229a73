"""Bases that were saved in fewer bits: those of bitsandbytes are loaded as by PEFT, the others refused by name."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.tiny import LABELS, TinyCheckpoint, make_causal, make_classifier
from support.uploads.adapters import IDS, accept, load_accepted
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

from influence.errors import BaseModelNotFound, UnsupportedModule
from workers.gradients.collector import GradientCollector
from workers.loading import quantised

needs_library = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
METHODS = ["gptq", "awq", "hqq", "fp8", "mxfp4", "compressed-tensors", "torchao", "aqlm", "never-heard-of"]


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


def pack(base: Path, folder: Path, bits: int, model_class: Any = AutoModelForCausalLM) -> Path:
    """The base as it is published in 4 or 8 bits."""
    config = BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8, bnb_4bit_quant_type="nf4")
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model_class.from_pretrained(base, quantization_config=config, device_map={"": "cpu"}).save_pretrained(folder)
    return folder


def adapt(base: Path, folder: Path, model_class: Any, **lora: Any) -> None:
    torch.manual_seed(1)
    adapted = get_peft_model(model_class.from_pretrained(base), LoraConfig(r=2, **lora))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    adapted.save_pretrained(folder)


@needs_library
@pytest.mark.parametrize("bits", [4, 8])
def test_packed_base_computes_what_peft_computes(bits: int, causal: TinyCheckpoint, tmp_path: Path) -> None:
    base = pack(causal.base, tmp_path / "base", bits)
    lora = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"]}
    adapt(base, tmp_path / "adapter", AutoModelForCausalLM, **lora)
    loaded = load_accepted(accept(base, tmp_path / "adapter"), tmp_path / "adapter")
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter").eval()
    # The library's own way of packing anew for inference on a CPU fails on layers as small as these.
    quantised.keep_differentiable(expected)
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected(input_ids=IDS).logits, rtol=0, atol=0)
    batch = loaded.task.collate(loaded.task.tokenise([{"id": "0", "text": "refund my card"}]))
    found = GradientCollector(loaded.model, loaded.task.row_losses).collect(batch)
    assert all(values.abs().sum() > 0 for values in found.blocks.values())


@needs_library
def test_classifiers_head_on_a_packed_base_is_whole(tmp_path: Path) -> None:
    made = make_classifier(tmp_path / "made")
    base = pack(made.base, tmp_path / "base", 4, AutoModelForSequenceClassification)
    # The library packs a base's head too unless it is told; published bases have none.
    weights = {name: t for name, t in load_file(base / "model.safetensors").items() if "classifier" not in name}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    checkpoint = accept(base, made.adapter, label_names=LABELS)
    loaded = load_accepted(checkpoint, made.adapter)
    head = load_file(made.adapter / "adapter_model.safetensors")["base_model.model.classifier.weight"]
    state = loaded.model.state_dict()
    torch.testing.assert_close(state["base_model.model.classifier.modules_to_save.default.weight"], head)
    (answer,) = loaded.task.predict(loaded.model, [{"id": "0", "text": "refund my card"}])
    assert answer is not None


@needs_library
def test_packed_base_without_the_library_says_what_to_install(
    causal: TinyCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = pack(causal.base, tmp_path / "base", 4)
    checkpoint = accept(base, causal.adapter)
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    with pytest.raises(BaseModelNotFound, match="bitsandbytes is missing") as caught:
        load_accepted(checkpoint, causal.adapter)
    assert "quantised" in caught.value.hint


@pytest.mark.parametrize("method", METHODS)
def test_base_packed_in_another_way_is_refused_when_it_is_named(
    method: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(causal.base, tmp_path / "base"))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(
        json.dumps({**config, "quantization_config": {"quant_method": method, "bits": 4}})
    )
    with pytest.raises(UnsupportedModule, match=method) as caught:
        accept(base, causal.adapter)
    assert "'base_model'" in caught.value.hint
    assert ("dequantize=True" in caught.value.hint) == (method in ("fp8", "mxfp4", "compressed-tensors"))


def test_packed_tensors_are_seen_without_a_word_in_the_configuration(causal: TinyCheckpoint, tmp_path: Path) -> None:
    base = Path(shutil.copytree(causal.base, tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    packed = {name.replace("q_proj.weight", "q_proj.qweight"): tensor for name, tensor in weights.items()}
    save_file(packed, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModule, match="gptq or awq"):
        accept(base, causal.adapter)
