"""Loading a plain model: only what was named is trainable, and nothing may be random."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from support.tiny import LABELS, make_plain
from transformers import AutoModelForSequenceClassification

from app.intake.plain import accept_plain
from influence.checkpoint_files.base_files import BaseFiles
from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.index import GradientSettings
from influence.errors import NothingTrainable, TaskMismatch, UnsupportedModule
from workers.gradients.selection import select_trainable
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint, make_untrained
from workers.loading.options import LoadOptions

IDS = torch.tensor([[1, 7, 8, 9, 2]])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_plain(tmp_path_factory.mktemp("plain") / "model")


def checkpoint_of(folder: Path, *trainable: str, **fields: Any) -> Checkpoint:
    made = {"task": "sequence_classification", "label_names": LABELS, "num_labels": 3, **fields}
    base = BaseModelRef(name="plain", kind="path", location=str(folder))
    return Checkpoint(id="ckpt_p", base_model=base, trainable=trainable, created_at=now(), **made)


def load(checkpoint: Checkpoint) -> LoadedCheckpoint:
    return load_checkpoint(
        checkpoint,
        None,
        GradientSettings(),
        LoadOptions(cache_dir=Path("/nowhere")),
    )


def test_it_computes_what_transformers_computes_and_only_the_named_trains(plain: Path) -> None:
    loaded = load(checkpoint_of(plain, "classifier", "bert.encoder.layer.1.output.dense"))
    expected = AutoModelForSequenceClassification.from_pretrained(plain).eval()
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected(input_ids=IDS).logits, rtol=0, atol=0)
    assert {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad} == {
        "classifier.weight",
        "classifier.bias",
        "bert.encoder.layer.1.output.dense.weight",
        "bert.encoder.layer.1.output.dense.bias",
    }
    assert not any(module.training for module in loaded.model.modules())


def test_a_tensor_that_the_files_do_not_hold_is_refused(plain: Path, tmp_path: Path) -> None:
    headless = Path(shutil.copytree(plain, tmp_path / "headless"))
    weights = load_file(plain / "model.safetensors")
    kept = {name: values for name, values in weights.items() if name != "classifier.weight"}
    save_file(kept, headless / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TaskMismatch, match=r"classifier\.weight.*random") as refused:
        load(checkpoint_of(headless, "bert.pooler"))
    assert refused.value.extra == {"tensors": ["classifier.weight"]}


def test_a_head_of_another_size_is_refused(plain: Path) -> None:
    with pytest.raises(TaskMismatch, match=r"classifier\.bias"):
        load(checkpoint_of(plain, "classifier", num_labels=5, label_names=None))


def test_names_that_only_the_worker_can_know_are_refused_with_the_modules(plain: Path) -> None:
    with pytest.raises(NothingTrainable, match=r"called 'encoder\.layer\.1'") as refused:
        load(checkpoint_of(plain, "encoder.layer.1"))
    assert "bert, dropout, classifier" in refused.value.hint


def test_what_is_quantised_is_refused_by_name() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].weight = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(UnsupportedModule, match=r"'0\.weight' names is quantised") as refused:
        select_trainable(model, ["1", "0.weight"])
    assert "DATAINF_LOAD_IN_BITS" in refused.value.hint


def begin(checkpoint: Checkpoint, seed: int = 0) -> Any:
    options = LoadOptions(cache_dir=Path("/nowhere"))
    return make_untrained(checkpoint, None, GradientSettings(), options, seed=seed, dropout=0.0).model


def lacking(plain: Path, folder: Path, *names: str) -> Path:
    """A copy of the model without some tensors."""
    copied = Path(shutil.copytree(plain, folder))
    kept = {name: values for name, values in load_file(plain / "model.safetensors").items() if name not in names}
    save_file(kept, copied / "model.safetensors", metadata={"format": "pt"})
    return copied


def trained(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_training_begins_with_what_the_files_hold(plain: Path) -> None:
    model = begin(checkpoint_of(plain, "bert.pooler"))
    assert trained(model) == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    held = load_file(plain / "model.safetensors")
    assert all(torch.equal(parameter, held[name]) for name, parameter in model.named_parameters())


def test_a_head_that_the_files_lack_is_made_by_the_seed_and_trained_along(plain: Path, tmp_path: Path) -> None:
    headless = lacking(plain, tmp_path / "headless", "classifier.weight", "classifier.bias")
    first, again, other = (begin(checkpoint_of(headless, "*.layer.1.output.dense"), seed) for seed in (0, 0, 1))
    assert trained(first) >= {"classifier.weight", "bert.encoder.layer.1.output.dense.weight"}
    assert not trained(first) & {"bert.pooler.dense.weight", "bert.encoder.layer.0.output.dense.weight"}
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


@pytest.mark.parametrize("adapter", [False, True])
def test_a_training_does_not_begin_on_random_layers(plain: Path, tmp_path: Path, adapter: bool) -> None:
    name = "bert.encoder.layer.1.output.dense.weight"
    checkpoint = checkpoint_of(lacking(plain, tmp_path / "torn", name), "classifier")
    if adapter:
        fields = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 2, "lora_alpha": 2, "target_modules": ["query"]}
        checkpoint = checkpoint.model_copy(update={"trainable": None, "adapter": fields})
    with pytest.raises(TaskMismatch, match="would be random") as refused:
        begin(checkpoint)
    assert refused.value.extra == {"tensors": [name]}


def test_an_adapter_that_lies_in_the_models_folder_is_not_put_on_it_again(plain: Path, tmp_path: Path) -> None:
    """As where an adapter was merged and the result saved to the adapter's own folder."""
    model = AutoModelForSequenceClassification.from_pretrained(plain)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["query"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "merged")
    expected = adapted.eval()(input_ids=IDS).logits
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(plain / name, tmp_path / "merged" / name)
    loaded = load(checkpoint_of(tmp_path / "merged", "classifier"))
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=1e-5, atol=1e-5)
    base = BaseModels(aliases={}, allowed_roots=[tmp_path]).resolve(str(tmp_path / "merged"))
    assert "holds an adapter" in "".join(accept_plain(base, ["classifier"]).warnings)
    assert [*BaseFiles(tmp_path / "merged").find_doubts(tmp_path / "merged")] == []
    assert [*BaseFiles(plain).find_doubts()] == []
