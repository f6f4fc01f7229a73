"""Rows of text on multimodal bases: exact on the model types that are said to be, refused by name on the others."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import IDS, accept, load_accepted
from support.uploads.multimodal import CONFIGS
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from influence.checkpoint_files.multimodal import EXACT_FOR_TEXT
from influence.errors import TaskMismatch
from workers.gradients.collector import GradientCollector

WEIGHTS = "adapter_model.safetensors"
ROWS = [{"id": "0", "text": "refund my card please"}, {"id": "1", "text": "app slow"}, {"id": "2", "text": "it was"}]
#: Chosen by their end, so that vision layers of the same name are adapted too, as trainers do by default.
LORA = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


def make_base(kind: str, folder: Path, causal: TinyCheckpoint) -> Path:
    shutil.copytree(causal.base, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(CONFIGS[kind]()).save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, auto: Any = AutoModelForImageTextToText, **lora: Any) -> None:
    torch.manual_seed(1)
    adapted = get_peft_model(auto.from_pretrained(base), LoraConfig(**{"task_type": "CAUSAL_LM", **LORA, **lora}))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    adapted.save_pretrained(folder)


def logits_of_peft(base: Path, adapter: Path, auto: Any = AutoModelForImageTextToText) -> torch.Tensor:
    model = PeftModel.from_pretrained(auto.from_pretrained(base), adapter).eval()
    found: torch.Tensor = model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    return found


def test_every_type_that_is_said_to_be_exact_is_tested() -> None:
    assert CONFIGS.keys() >= EXACT_FOR_TEXT


@pytest.mark.parametrize("kind", sorted(EXACT_FOR_TEXT))
def test_rows_of_text_have_the_loss_and_gradients_that_they_have_alone(
    kind: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = make_base(kind, tmp_path / "base", causal)
    make_adapter(base, tmp_path / "adapter")
    loaded = load_accepted(accept(base, tmp_path / "adapter"), tmp_path / "adapter")
    found = loaded.model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    torch.testing.assert_close(found, logits_of_peft(base, tmp_path / "adapter"), rtol=0, atol=0)
    encoded = loaded.task.tokenise(ROWS)
    together = GradientCollector(loaded.model, loaded.task.row_losses).collect(loaded.task.collate(encoded))
    for place, row in enumerate(encoded):
        loss = loaded.task.row_losses(loaded.model, loaded.task.collate([row]))
        torch.testing.assert_close(together.losses[place : place + 1], loss.detach(), rtol=1e-4, atol=1e-5)
        parameters = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
        alone = torch.autograd.grad(loss.sum(), parameters, allow_unused=True)
        for (block, values), gradient in zip(together.blocks.items(), alone, strict=True):
            expected = torch.zeros_like(values[place]) if gradient is None else gradient.flatten()
            torch.testing.assert_close(values[place], expected, rtol=1e-3, atol=1e-5, msg=block)


def test_text_part_that_transformers_offers_alone_is_taken_where_the_adapter_was_trained_on_it(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = make_base("llama4", tmp_path / "base", causal)
    make_adapter(base, tmp_path / "adapter", AutoModelForCausalLM)
    loaded = load_accepted(accept(base, tmp_path / "adapter"), tmp_path / "adapter")
    expected = logits_of_peft(base, tmp_path / "adapter", AutoModelForCausalLM)
    found = loaded.model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "new", "old"),
    [
        ("gemma3", "model.language_model.", "language_model.model."),
        ("llava", "model.language_model.", "language_model.model."),
        ("qwen2_vl", "model.language_model.", "model."),
    ],
)
def test_names_that_an_earlier_transformers_gave_the_layers_are_understood(
    kind: str, new: str, old: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = make_base(kind, tmp_path / "base", causal)
    make_adapter(base, tmp_path / "adapter", target_modules=r".*language_model.*\.(q_proj|v_proj)")
    expected = logits_of_peft(base, tmp_path / "adapter")
    weights = load_file(tmp_path / "adapter" / WEIGHTS)
    renamed = {name.replace(f"base_model.model.{new}", f"base_model.model.{old}"): t for name, t in weights.items()}
    assert renamed.keys() != weights.keys()
    save_file(renamed, tmp_path / "adapter" / WEIGHTS)
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace(r'".*language_model.*\\.(q_proj|v_proj)"', '["q_proj", "v_proj"]'))
    if kind != "qwen2_vl":
        # Layers of the vision part have these names as well, and the old file holds none of them.
        text = config.read_text().replace('"exclude_modules": null', '"exclude_modules": ".*vision_tower.*"')
        config.write_text(text)
    loaded = load_accepted(accept(base, tmp_path / "adapter"), tmp_path / "adapter")
    found = loaded.model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_adapter_without_a_task_type_on_a_multimodal_base_is_a_language_models(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = make_base("gemma3", tmp_path / "base", causal)
    make_adapter(base, tmp_path / "adapter", task_type=None)
    assert accept(base, tmp_path / "adapter").task == "causal_lm"


@pytest.mark.parametrize(("kind", "lora"), [("paligemma", {}), ("gemma3", {"task_type": "SEQ_CLS"})])
def test_base_whose_text_path_is_not_known_to_be_exact_is_refused_when_it_is_named(
    kind: str, lora: dict[str, Any], causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = make_base(kind, tmp_path / "base", causal)
    make_adapter(base, tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    if lora:
        config.write_text(config.read_text().replace('"CAUSAL_LM"', '"SEQ_CLS"'))
    with pytest.raises(TaskMismatch, match=kind) as caught:
        accept(base, tmp_path / "adapter")
    assert "gemma3" in caught.value.hint
