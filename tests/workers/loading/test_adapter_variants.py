"""Every field of an adapter's configuration is in one table; where it is honoured, models compute what PEFT's do."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora.config import BdLoraConfig, KasaConfig, MontecloraConfig, VeloraConfig
from safetensors.torch import load_file, save_file
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import IDS, accept, load_accepted, logits_of_peft, make_adapter
from transformers import AutoConfig, AutoModelForCausalLM

from influence.checkpoint_files.adapters.fields import FIELDS
from influence.errors import AdapterConfigRefused, AdapterMismatch
from workers.gradients.collector import GradientCollector

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PLAIN: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"]}
Lora = dict[str, Any]

#: Each honoured field away from its default, in an adapter that PEFT trains and loads.
VARIANTS: dict[str, Lora] = {
    "plain": PLAIN,
    "task_type": {**PLAIN, "task_type": None},
    "rank and alpha": {**PLAIN, "r": 3, "lora_alpha": 5},
    "patterns": {**PLAIN, "rank_pattern": {"q_proj": 4}, "alpha_pattern": {r"layers\.1\..*": 9}},
    "all-linear": {"target_modules": "all-linear", "exclude_modules": ["up_proj"]},
    "expression with a look ahead": {"target_modules": r"^(?!.*mlp).*(?:q_proj|down_proj|o_proj)$"},
    "layers": {**PLAIN, "layers_to_transform": [1], "layers_pattern": "layers"},
    "whole names beside layers": {"target_modules": ["q_proj", "lm_head"], "layers_to_transform": [1]},
    "rslora": {**PLAIN, "use_rslora": True},
    "dora": {"target_modules": ["q_proj", "embed_tokens"], "use_dora": True},
    "bias": {"target_modules": ["q_proj"], "bias": "lora_only"},
    "lora_bias": {**PLAIN, "lora_bias": True},
    "norm saved": {**PLAIN, "modules_to_save": ["norm"]},
    "embeddings saved": {**PLAIN, "modules_to_save": ["embed_tokens", "lm_head"]},
    "embeddings adapted": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "embeddings adapted by an expression": {"target_modules": r".*\.(q_proj|embed_tokens)"},
    "tokens": {**PLAIN, "trainable_token_indices": [5, 3, 9]},
    "tokens by module": {**PLAIN, "trainable_token_indices": {"embed_tokens": [3, 7], "lm_head": [4]}},
    "parameters": {"target_modules": ["q_proj"], "target_parameters": ["mlp.up_proj.weight"]},
    "parameters alone": {"target_modules": [], "target_parameters": ["up_proj.weight", "mlp.down_proj.weight"]},
    "gaussian": {**PLAIN, "init_lora_weights": "gaussian"},
    "orthogonal": {**PLAIN, "init_lora_weights": "orthogonal"},
    "eva": {**PLAIN, "init_lora_weights": "eva"},
    "mica": {"target_modules": ["q_proj", "embed_tokens"], "init_lora_weights": "mica"},
    "random factors": {**PLAIN, "init_lora_weights": False},
}
#: Variants whose point is that two embeddings are one.
TIED: dict[str, Lora] = {
    "tied, tokens": {**PLAIN, "trainable_token_indices": [3, 5]},
    "tied, both adapted": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "tied, output adapted": {"target_modules": ["q_proj", "lm_head"]},
    "tied, output adapted with dora": {"target_modules": ["q_proj", "lm_head"], "use_dora": True},
    "tied, input saved": {**PLAIN, "modules_to_save": ["embed_tokens"]},
    "tied, both saved": {**PLAIN, "modules_to_save": ["embed_tokens", "lm_head"]},
    "tied, saved as one": {**PLAIN, "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    "tied, adapted as one": {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
}
#: Values that PEFT takes of each field that is refused.
REFUSED: dict[str, Any] = {
    "megatron_config": {"num_layers": 2},
    "megatron_core": "os",
    "layer_replication": [[0, 2], [1, 2]],
    "use_qalora": True,
    "velora_config": dataclasses.asdict(VeloraConfig(num_groups=2)),
    "alora_invocation_tokens": [3],
    "monteclora_config": dataclasses.asdict(MontecloraConfig()),
    "use_bdlora": dataclasses.asdict(BdLoraConfig(nblocks=2)),
    "arrow_config": {"top_k": 3},
    "kasa_config": dataclasses.asdict(KasaConfig()),
}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory, causal: TinyCheckpoint) -> Path:
    """The same language model with its two embeddings in one."""
    folder = tmp_path_factory.mktemp("tied") / "base"
    shutil.copytree(causal.base, folder)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(causal.base, tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    # A model with two embeddings in its files is not tied, whatever its configuration says.
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    return folder


def test_every_field_of_the_installed_peft_is_in_the_table() -> None:
    fields = {field.name for field in dataclasses.fields(LoraConfig)}
    assert fields - FIELDS.keys() == set()
    assert set(REFUSED) == {name for name, rule in FIELDS.items() if rule.treatment == "refused"}


def test_every_honoured_field_has_a_variant_that_is_held_against_peft() -> None:
    varied = {name for lora in (*VARIANTS.values(), *TIED.values()) for name in lora}
    # PEFT sets the one for every LoRA; the other follows from the layers and has its test with GPT-2.
    exempt = {"peft_type", "fan_in_fan_out"}
    assert {name for name, rule in FIELDS.items() if rule.treatment == "honoured"} - exempt <= varied


@pytest.mark.parametrize("adapted", ["q_proj", "lm_head", "embed_tokens"])
def test_head_of_its_own_beside_tied_embeddings_stays_its_own_as_in_transformers(
    adapted: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(causal.base, tmp_path / "base"))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    make_adapter(base, tmp_path / "adapter", target_modules=["v_proj", adapted])
    checkpoint = accept(base, tmp_path / "adapter")
    assert "lm_head.weight" in "".join(checkpoint.warnings)
    loaded = load_accepted(checkpoint, tmp_path / "adapter")
    expected = logits_of_peft(base, tmp_path / "adapter")
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_computes_what_peft_computes(variant: str, causal: TinyCheckpoint, tmp_path: Path) -> None:
    assert_like_peft(causal.base, tmp_path / "adapter", VARIANTS[variant])


@pytest.mark.parametrize("variant", TIED)
def test_variant_on_tied_embeddings_computes_what_peft_computes(variant: str, tied: Path, tmp_path: Path) -> None:
    assert_like_peft(tied, tmp_path / "adapter", TIED[variant])


def assert_like_peft(base: Path, adapter: Path, lora: Lora) -> None:
    """The same logits bit by bit, and gradients of exactly what PEFT trains."""
    trained = make_adapter(base, adapter, **lora)
    loaded = load_accepted(accept(base, adapter), adapter)
    expected = logits_of_peft(base, adapter)
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=0, atol=0)
    torch.testing.assert_close(trained(input_ids=IDS).logits, expected)
    assert trainable(loaded.model) == trainable(trained)


def trainable(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("variant", ["tokens", "parameters alone", "embeddings adapted", "mica", "lora_bias"])
def test_rows_of_odd_variants_have_the_gradients_of_autograd(
    variant: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    make_adapter(causal.base, tmp_path, **VARIANTS[variant])
    loaded = load_accepted(accept(causal.base, tmp_path), tmp_path)
    rows = [{"id": str(place), "text": text} for place, text in enumerate(("refund my card", "app slow again please"))]
    batch = loaded.task.collate(loaded.task.tokenise(rows))
    found = GradientCollector(loaded.model, loaded.task.row_losses, include_bias=True).collect(batch)
    parameters = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    for place in range(len(rows)):
        loss = loaded.task.row_losses(loaded.model, batch)[place]
        gradients = torch.autograd.grad(loss, parameters)
        for (block, values), gradient in zip(found.blocks.items(), gradients, strict=True):
            torch.testing.assert_close(values[place], gradient.flatten(), rtol=1e-4, atol=1e-6, msg=block)


@pytest.mark.parametrize("field", REFUSED)
def test_refused_field_is_named_with_what_it_does_and_what_to_do(
    field: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN)
    change_config(tmp_path, **{field: REFUSED[field]})
    with pytest.raises(AdapterConfigRefused) as caught:
        accept(causal.base, tmp_path)
    assert field in caught.value.detail
    assert FIELDS[field].why in caught.value.detail
    assert caught.value.hint == FIELDS[field].hint
    change_config(tmp_path, **{field: None})
    assert accept(causal.base, tmp_path).tensors


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_4", "olora", "OLoRA", "corda", "loftq", "lora_ga", "milora"])
def test_initialisation_that_changed_the_base_is_refused(init: str, causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN)
    change_config(tmp_path, init_lora_weights=init)
    with pytest.raises(AdapterConfigRefused) as caught:
        accept(causal.base, tmp_path)
    assert "init_lora_weights" in caught.value.detail
    assert "init_lora_weights" in caught.value.hint or "Set it to true" in caught.value.hint


def change_config(folder: Path, **fields: Any) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


LOFTQ = pytest.param(
    "loftq", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="PEFT makes LoftQ's base on a GPU alone")
)


@pytest.mark.parametrize("init", ["pissa", "olora", LOFTQ])
def test_base_saved_as_the_adapter_saw_it_is_what_the_hint_says(
    init: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    """Following the refusal's hint gives the logits that PEFT has for the adapter as it was."""
    bits: Lora = {"loftq_config": {"loftq_bits": 4, "loftq_iter": 1}} if init == "loftq" else {}
    make_adapter(causal.base, tmp_path / "adapter", **PLAIN, init_lora_weights=init, **bits)
    expected = logits_of_peft(causal.base, tmp_path / "adapter")
    base = keep_base(causal.base, tmp_path / "adapter", tmp_path / "base")
    change_config(tmp_path / "adapter", init_lora_weights=True)
    assert_logits(base, tmp_path / "adapter", expected)


def test_repeated_layers_can_be_saved_as_the_hint_says(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path / "adapter", **PLAIN, layer_replication=[(0, 2), (1, 2)])
    expected = logits_of_peft(causal.base, tmp_path / "adapter")
    base = keep_base(causal.base, tmp_path / "adapter", tmp_path / "base")
    change_config(tmp_path / "adapter", layer_replication=None)
    assert_logits(base, tmp_path / "adapter", expected)


def keep_base(base: Path, adapter: Path, folder: Path) -> Path:
    shutil.copytree(base, folder)
    kept = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).unload()
    kept.save_pretrained(folder, state_dict={name: value.clone() for name, value in kept.state_dict().items()})
    return folder


def assert_logits(base: Path, adapter: Path, expected: torch.Tensor) -> None:
    loaded = load_accepted(accept(base, adapter), adapter)
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_converted_adapter_is_a_plain_one(init: str, causal: TinyCheckpoint, tmp_path: Path) -> None:
    """The other way of the hint: PEFT puts the part that was taken out back, with factors of twice the rank."""
    from peft import get_peft_model

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(causal.base),
        LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=init, **PLAIN),
    )
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(tmp_path / "initial")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(tmp_path / "adapter", path_initial_model_for_weight_conversion=str(tmp_path / "initial"))
    assert_logits(causal.base, tmp_path / "adapter", model.eval()(input_ids=IDS).logits)


def test_merged_adapter_is_a_plain_model_as_the_hint_says(causal: TinyCheckpoint, tmp_path: Path) -> None:
    from app.intake.plain import accept_plain
    from influence.checkpoint_files.base_models import BaseModels

    shutil.copytree(causal.base, tmp_path / "merged")
    make_adapter(causal.base, tmp_path / "adapter", **PLAIN).merge_and_unload().save_pretrained(tmp_path / "merged")
    base = BaseModels(aliases={}, allowed_roots=[tmp_path]).resolve(str(tmp_path / "merged"))
    assert accept_plain(base, ["*.q_proj"]).tensors == 2


Rename = Callable[[str], str]
SAVERS: dict[str, Rename] = {
    "no prefix": lambda name: name.removeprefix("base_model.model."),
    "adapter's name kept": lambda name: name.replace(".weight", ".default.weight") if "lora_" in name else name,
    "another adapter's name": lambda name: name.replace(".weight", ".sft-1.weight") if "lora_" in name else name,
    "wrapped for parallel training": lambda name: f"module.{name}",
    "compiled": lambda name: name.replace("base_model.", "base_model._orig_mod."),
    "sharded": lambda name: name.replace("layers.", "layers._fsdp_wrapped_module."),
    "saved module with its wrapper": lambda name: name.replace("lm_head.", "lm_head.modules_to_save.default."),
    "wrapper alone": lambda name: name.replace("lm_head.", "lm_head.modules_to_save."),
}


@pytest.mark.parametrize("saver", SAVERS)
def test_names_as_other_savers_write_them_mean_the_same_adapter(
    saver: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN, modules_to_save=["lm_head"])
    expected = logits_of_peft(causal.base, tmp_path)
    rewrite(tmp_path, lambda weights: {SAVERS[saver](name): tensor for name, tensor in weights.items()})
    assert_logits(causal.base, tmp_path, expected)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def test_old_names_of_magnitudes_are_understood(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN, use_dora=True)
    expected = logits_of_peft(causal.base, tmp_path)
    rewrite(
        tmp_path,
        lambda weights: {
            name.replace("magnitude_vector", "magnitude_vector.default.weight"): t for name, t in weights.items()
        },
    )
    assert_logits(causal.base, tmp_path, expected)


def test_copies_of_a_saved_module_are_left_out_where_they_agree(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN, modules_to_save=["lm_head"])
    expected = logits_of_peft(causal.base, tmp_path)
    head = "base_model.model.lm_head."

    def add(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        saved = weights[f"{head}weight"]
        return {**weights, f"{head}modules_to_save.weight": saved.clone(), f"{head}original_module.weight": saved * 2}

    rewrite(tmp_path, add)
    assert_logits(causal.base, tmp_path, expected)
    rewrite(tmp_path, lambda weights: {**weights, f"{head}modules_to_save.weight": weights[f"{head}weight"] + 1})
    with pytest.raises(AdapterMismatch, match="modules_to_save") as caught:
        accept(causal.base, tmp_path)
    assert "Save the adapter again" in caught.value.hint


def test_file_with_two_adapters_is_refused(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN)

    def name_apart(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        kept = {"q_proj": "first", "v_proj": "second"}
        return {
            name.replace(".weight", f".{kept[name.split('.')[-3]]}.weight"): tensor for name, tensor in weights.items()
        }

    rewrite(tmp_path, name_apart)
    with pytest.raises(AdapterMismatch, match="first, second"):
        accept(causal.base, tmp_path)


def test_replaced_embedding_that_differs_from_the_bases_is_honoured(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, target_modules=["embed_tokens", "q_proj"])
    name = "base_model.model.model.embed_tokens.base_layer.weight"
    rewrite(tmp_path, lambda weights: {**weights, name: weights[name] * 1.5})
    assert_logits(causal.base, tmp_path, logits_of_peft(causal.base, tmp_path))
    rewrite(tmp_path, lambda weights: {key: tensor for key, tensor in weights.items() if key != name})
    assert_logits(causal.base, tmp_path, logits_of_peft(causal.base, tmp_path))


@pytest.mark.parametrize(
    ("written", "task"),
    [
        ({"base_model_class": "LlamaForCausalLM", "parent_library": "os", "unsloth_fixed": True}, None),
        ({"base_model_class": "LlamaForCausalLM", "parent_library": "os"}, "causal_lm"),
        ({"base_model_class": "SomethingElse"}, "causal_lm"),
        ({"unsloth_fixed": True}, "causal_lm"),
    ],
)
def test_adapter_trained_without_a_task_type_is_taken(
    written: dict[str, Any], task: Any, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN, task_type=None)
    change_config(tmp_path, auto_mapping=written)
    assert accept(causal.base, tmp_path, task=task).task == "causal_lm"


def test_configuration_of_another_model_beside_the_adapter_is_refused(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN)
    written = json.loads((causal.base / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**written, "quantization_config": {"load_in_4bit": True}}))
    (doubt,) = accept(causal.base, tmp_path).warnings
    assert "in 4 bits" in doubt
    (tmp_path / "config.json").write_text(json.dumps({**written, "hidden_act": "gelu"}))
    with pytest.raises(AdapterMismatch, match="hidden_act 'gelu'"):
        accept(causal.base, tmp_path)


def test_order_of_patterns_that_both_fit_is_part_of_the_address(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN)
    ids = set()
    for patterns in ({"q_proj": 9, "self_attn.q_proj": 3}, {"self_attn.q_proj": 3, "q_proj": 9}):
        change_config(tmp_path, alpha_pattern=patterns)
        ids.add(accept(causal.base, tmp_path).id)
    assert len(ids) == 2
