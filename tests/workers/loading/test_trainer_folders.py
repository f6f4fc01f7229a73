"""Folders as trainers lay them, by their documented layouts: what goes in computes what PEFT computes, row by row what
autograd says; what does not go in names its cause."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import IDS, accept, load_accepted, logits_of_peft, make_adapter
from support.uploads.local_service import zip_folder
from transformers import AutoTokenizer

from app.intake.adapter_folder import unpack_adapter
from influence.errors import DatainfError
from workers.gradients.collector import GradientCollector

CONFIG = "adapter_config.json"
PLAIN: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"]}
PICKLE = b"\x80\x04a pickle that nobody opens"
ROWS = [{"id": str(place), "text": text} for place, text in enumerate(("refund my card", "app slow again please"))]
#: Lays what a trainer writes beside an adapter in a folder, and answers the folder to send.
Lay = Callable[[Path, Path], Path]


def write(file: Path, content: bytes | str | dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = json.dumps(content) if isinstance(content, dict) else content
    file.write_bytes(raw if isinstance(raw, bytes) else raw.encode())


def change(folder: Path, **fields: Any) -> None:
    write(folder / CONFIG, {**json.loads((folder / CONFIG).read_text()), **fields})


def save_tokenizer(base: Path, folder: Path) -> None:
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


def lay_peft(base: Path, adapter: Path) -> Path:
    write(adapter / "README.md", "---\nlibrary_name: peft\n---")
    return adapter


def lay_trl(base: Path, adapter: Path) -> Path:
    """The last checkpoint of a run, with all that resumes it."""
    save_tokenizer(base, adapter)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        write(adapter / name, PICKLE)
    write(adapter / "trainer_state.json", {"log_history": []})
    return adapter


def lay_trl_output(base: Path, adapter: Path) -> Path:
    """An output folder: the adapter at its top, and checkpoints below."""
    lay_trl(base, adapter)
    shutil.copytree(adapter, adapter / "checkpoint-3")
    return adapter


def lay_unsloth(base: Path, adapter: Path) -> Path:
    save_tokenizer(base, adapter)
    mapping = {"base_model_class": "LlamaForCausalLM", "parent_library": "os", "unsloth_fixed": True}
    change(adapter, auto_mapping=mapping, task_type=None, base_model_name_or_path="unsloth/tiny-bnb-4bit")
    return adapter


def lay_axolotl(base: Path, adapter: Path) -> Path:
    lay_trl(base, adapter)
    written = json.loads((base / "config.json").read_text())
    packing = {"quant_method": "bitsandbytes", "load_in_4bit": True, "_load_in_4bit": True}
    write(adapter / "config.json", {**written, "use_cache": False, "quantization_config": packing})
    write(adapter / "debug.log", "loss 1.0")
    return adapter


def lay_llama_factory(base: Path, adapter: Path) -> Path:
    lay_trl(base, adapter)
    write(adapter / "all_results.json", {"epoch": 3.0})
    write(adapter / "trainer_log.jsonl", "{}\n")
    write(adapter / "training_loss.png", b"\x89PNG")
    return adapter


def lay_ms_swift(base: Path, adapter: Path) -> Path:
    """ms-swift's output/v0-<time>/checkpoint-<step>, sent from its top."""
    top = adapter.parent / "output"
    folder = top / "v0-20250101-000000" / "checkpoint-3"
    shutil.copytree(lay_trl(base, adapter), folder)
    write(folder / "additional_config.json", {"lora_dtype": None, "lorap_lr_ratio": None})
    write(folder.parent / "args.json", {"quant_bits": None})
    return top


ACCEPTED: dict[str, Lay] = {
    "PEFT alone": lay_peft,
    "TRL, a checkpoint": lay_trl,
    "TRL, an output folder": lay_trl_output,
    "Unsloth": lay_unsloth,
    "Axolotl": lay_axolotl,
    "LLaMA-Factory": lay_llama_factory,
    "ms-swift": lay_ms_swift,
}


def lay_pickled(base: Path, adapter: Path) -> Path:
    (adapter / "adapter_model.safetensors").unlink()
    write(adapter / "adapter_model.bin", PICKLE)
    return adapter


def lay_two(base: Path, adapter: Path) -> Path:
    for step in (1, 2):
        shutil.copytree(adapter, adapter.parent / "run" / f"checkpoint-{step}")
    return adapter.parent / "run"


def lay_emptied(base: Path, adapter: Path) -> Path:
    """DeepSpeed ZeRO-3 without gathering: names without numbers."""
    from safetensors.torch import load_file, save_file

    names = load_file(adapter / "adapter_model.safetensors")
    save_file({name: torch.empty(0) for name in names}, adapter / "adapter_model.safetensors")
    return adapter


def lay_loftq(base: Path, adapter: Path) -> Path:
    change(adapter, init_lora_weights="loftq", loftq_config={"loftq_bits": 4, "loftq_iter": 1})
    return adapter


def lay_slow_tokenizer(base: Path, adapter: Path) -> Path:
    write(adapter / "tokenizer.model", b"sentencepiece")
    write(adapter / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"})
    return adapter


def lay_other_model(base: Path, adapter: Path) -> Path:
    written = json.loads((base / "config.json").read_text())
    write(adapter / "config.json", {**written, "num_hidden_layers": 4})
    return adapter


#: Layouts that are refused, each with a word of the cause.
REFUSED: dict[str, tuple[Lay, str]] = {
    "pickled weights": (lay_pickled, "pickled"),
    "a folder of several checkpoints": (lay_two, "checkpoint-1"),
    "tensors that were never gathered": (lay_emptied, "hold no numbers"),
    "LoftQ": (lay_loftq, "init_lora_weights"),
    "a tokenizer of another form": (lay_slow_tokenizer, "tokenizer.json"),
    "the configuration of another model": (lay_other_model, "num_hidden_layers"),
}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


def send(folder: Path, scratch: Path) -> Path:
    """What is left of a folder that is dragged in as a zip."""
    archive, unpacked = scratch / "upload.zip", scratch / "unpacked"
    archive.write_bytes(zip_folder(folder))
    unpacked.mkdir()
    unpack_adapter(archive, unpacked)
    return unpacked


@pytest.mark.parametrize("trainer", ACCEPTED)
def test_a_trainers_folder_computes_what_peft_computes(trainer: str, causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path / "adapter", **PLAIN)
    expected = logits_of_peft(causal.base, tmp_path / "adapter")
    folder = send(ACCEPTED[trainer](causal.base, tmp_path / "adapter"), tmp_path)
    loaded = load_accepted(accept(causal.base, folder), folder)
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=1e-5, atol=1e-5)
    batch = loaded.task.collate(loaded.task.tokenise(ROWS))
    found = GradientCollector(loaded.model, loaded.task.row_losses).collect(batch)
    parameters = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    for place in range(len(ROWS)):
        gradients = torch.autograd.grad(loaded.task.row_losses(loaded.model, batch)[place], parameters)
        for (block, values), gradient in zip(found.blocks.items(), gradients, strict=True):
            scale = float(gradient.abs().max())
            torch.testing.assert_close(values[place], gradient.flatten(), rtol=1e-5, atol=1e-5 * scale, msg=block)


@pytest.mark.parametrize("layout", REFUSED)
def test_a_folder_that_is_refused_names_its_cause(layout: str, causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path / "adapter", **PLAIN)
    lay, cause = REFUSED[layout]
    with pytest.raises(DatainfError) as caught:
        accept(causal.base, send(lay(causal.base, tmp_path / "adapter"), tmp_path))
    assert cause in caught.value.detail
    assert caught.value.hint


def test_training_on_four_bits_is_said_of_both_trainers_that_write_it(causal: TinyCheckpoint, tmp_path: Path) -> None:
    for trainer in ("Unsloth", "Axolotl"):
        make_adapter(causal.base, tmp_path / trainer / "adapter", **PLAIN)
        folder = send(ACCEPTED[trainer](causal.base, tmp_path / trainer / "adapter"), tmp_path / trainer)
        assert "in 4 bits" in accept(causal.base, folder).warnings[0]
