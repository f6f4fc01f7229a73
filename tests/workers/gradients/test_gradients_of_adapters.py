"""Every form of adapter, and parts of plain models: exact, and on the path that the index states."""

from typing import Any

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact
from support.gradients.tiny_models import (
    VOCABULARY,
    Example,
    classification_losses,
    make_decoder,
    make_encoder,
    make_image_classifier,
    make_rows,
    make_sequence_to_sequence,
)
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from workers.gradients.collector import GradientCollector
from workers.gradients.selection import select_trainable
from workers.rows import Batch


def adapt(example: Example, **settings: Any) -> Example:
    """LoRA with random factors, so that no gradient vanishes."""
    model = get_peft_model(example.model, LoraConfig(**{"r": 2, "init_lora_weights": False, **settings}))
    dtype = next(example.model.parameters()).dtype
    return Example(model.to(dtype).eval(), example.rows, example.row_losses)


def trainable_tensors(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def choose(example: Example, *patterns: str) -> Example:
    select_trainable(example.model, patterns)
    return example


ON_BERT: dict[str, dict[str, Any]] = {
    "embedding": {"target_modules": ["word_embeddings", "query"]},
    "saved head": {"target_modules": ["value"], "modules_to_save": ["classifier"]},
    "saved embedding": {"target_modules": ["value"], "modules_to_save": ["word_embeddings"]},
    "all biases": {"target_modules": ["query"], "bias": "all"},
    "biases of adapted layers": {"target_modules": ["query"], "bias": "lora_only"},
    "biases of lora_B": {"target_modules": ["query"], "lora_bias": True},
    "rank-stabilised": {"target_modules": ["query", "value"], "use_rslora": True, "lora_alpha": 7},
    "dora": {"target_modules": ["query", "dense"], "use_dora": True},
    "rank and alpha patterns": {
        "target_modules": ["query", "value"],
        "rank_pattern": {"query": 4},
        "alpha_pattern": {"value": 5},
    },
    "some layers": {"target_modules": ["query"], "layers_to_transform": [1]},
}


@pytest.mark.parametrize("form", list(ON_BERT))
def test_forms_of_lora_on_an_encoder_are_exact_and_fast(form: str) -> None:
    assert_exact(adapt(make_encoder("bert"), **ON_BERT[form]))


def test_dora_on_transposed_weights_is_exact() -> None:
    assert_exact(adapt(make_decoder("gpt2"), target_modules=["c_attn"], use_dora=True, fan_in_fan_out=True))


def test_dora_on_an_embedding_is_exact_on_the_slow_path() -> None:
    adapted = adapt(make_encoder("bert"), target_modules=["word_embeddings"], use_dora=True)
    assert_exact(adapted, slow=("magnitude",))


@pytest.mark.parametrize("use_dora", [False, True])
def test_lora_on_a_convolution_is_exact_and_fast(use_dora: bool) -> None:
    assert_exact(adapt(make_image_classifier(), target_modules=["projection", "query"], use_dora=use_dora))


def test_of_several_adapters_only_the_active_one_has_blocks() -> None:
    example = adapt(make_encoder("bert"), target_modules=["query"])
    other = LoraConfig(r=3, target_modules=["query", "value"], init_lora_weights=False)
    example.model.add_adapter("other", other)  # type: ignore[operator]
    example.model.set_adapter("other")  # type: ignore[operator]
    example.model.double().eval()
    names = [block.name for block in assert_exact(example).blocks]
    assert len(names) == 8
    assert all("other" in name for name in names)


def test_fused_experts_as_lora_targets_are_exact_on_the_slow_path() -> None:
    adapted = adapt(make_decoder("mixtral"), target_modules=["q_proj"], target_parameters=["experts.down_proj"])
    assert_exact(adapted, slow=("experts",))


def test_adapters_nested_in_one_module_keep_names_of_their_own() -> None:
    parameters = ["experts.gate_up_proj", "experts.down_proj"]
    example = adapt(make_decoder("mixtral"), target_modules=["q_proj"], target_parameters=parameters)
    blocks = GradientCollector(example.model, example.row_losses).blocks
    assert len({block.name for block in blocks}) == len(blocks) == len(trainable_tensors(example.model))


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("bert", ["bert.encoder.layer.1", "classifier"]),
        ("bert", ["bert.embeddings", "*.bias"]),
        ("distilbert", ["*.layer.1", "pre_classifier"]),
        ("modernbert", ["model.layers.2", "head"]),
    ],
)
def test_parts_of_a_plain_encoder_are_exact(name: str, patterns: list[str]) -> None:
    assert_exact(choose(make_encoder(name), *patterns), slow=("position_embeddings",))


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("llama", ["model.layers.1", "model.norm", "lm_head"]),
        ("gemma3", ["model.layers.1.*norm"]),
        ("gpt2", ["transformer.h.1", "transformer.ln_f"]),
    ],
)
def test_parts_of_a_plain_language_model_are_exact_and_fast(name: str, patterns: list[str]) -> None:
    assert_exact(choose(make_decoder(name), *patterns))


def test_experts_and_router_of_a_plain_model_are_exact() -> None:
    assert_exact(choose(make_decoder("mixtral"), "model.layers.1.mlp"), slow=("experts", "gate.weight"))


def test_a_weight_tied_between_embedding_and_head_adds_up_both_uses() -> None:
    example = choose(make_decoder("gpt2"), "transformer.wte")
    assert example.model.lm_head.weight is example.model.transformer.wte.weight  # type: ignore[union-attr]
    assert_exact(example)


def test_layers_used_twice_in_one_forward_add_up() -> None:
    config = hf.AlbertConfig(
        vocab_size=VOCABULARY,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        num_labels=3,
    )
    model = hf.AlbertForSequenceClassification(config).double().eval()
    example = Example(model, make_encoder("bert").rows, classification_losses)
    assert_exact(adapt(example, target_modules=["query", "value", "ffn"]))


def test_encoder_and_decoder_of_unlike_lengths_are_exact() -> None:
    assert_exact(adapt(make_sequence_to_sequence(), target_modules=["q", "v"], modules_to_save=["lm_head"]))


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(reentrant: bool) -> None:
    example = adapt(make_decoder("llama"), target_modules=["q_proj", "down_proj"])
    example.model.gradient_checkpointing_enable({"use_reentrant": reentrant})  # type: ignore[operator]
    example.model.enable_input_require_grads()  # type: ignore[operator]
    assert_exact(example)


class _Oddities(nn.Module):
    """Things that a hook on a Linear does not see or sees twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.overwritten = nn.Linear(8, 8)
        self.behind = nn.Linear(8, 8)
        self.checkpointed = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.turned = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = functional.relu_(self.overwritten(self.embed(input_ids)))
        hidden = hidden + functional.linear(hidden, self.behind.weight, self.behind.bias)
        hidden = checkpoint(self.checkpointed, hidden, use_reentrant=False)
        hidden = hidden + self.attention(hidden, hidden, hidden, key_padding_mask=attention_mask == 0)[0]
        hidden = hidden + self.turned(hidden.flip(0)).flip(0)
        kept = attention_mask[:, :, None].to(hidden.dtype)
        return self.head((hidden * kept).sum(1) / kept.sum(1))  # type: ignore[no-any-return]


def _odd_losses(model: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(model(**batch.inputs), batch.labels, reduction="none")


def test_what_hooks_cannot_account_for_is_found_out_and_exact_on_the_slow_path() -> None:
    torch.manual_seed(3)
    rows = make_rows([0, 1, 2, 0, 1])
    example = Example(_Oddities().double().eval(), rows, _odd_losses)
    assert_exact(example, slow=("overwritten", "behind", "attention", "turned"))
