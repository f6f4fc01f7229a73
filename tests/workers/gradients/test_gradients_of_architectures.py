"""A padded batch gives every row the gradient that it has alone, for the architectures that people tune."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import assert_exact
from support.gradients.tiny_models import (
    DECODERS,
    ENCODERS,
    Example,
    make_decoder,
    make_encoder,
    make_image_classifier,
    make_multi_label_classifier,
    make_regressor,
    make_sequence_to_sequence,
    make_token_classifier,
)
from support.trials.float64 import Float64Throughout

from workers.batching.collate import collate_rows
from workers.gradients.collector import GradientCollector
from workers.gradients.losses import supervised_logits, token_cross_entropy
from workers.rows import Batch

#: Layers that take LoRA, the last part of their names: every linear layer but the heads.
_LINEAR = [
    "query",
    "key",
    "value",
    "dense",
    "q_lin",
    "k_lin",
    "v_lin",
    "out_lin",
    "lin1",
    "lin2",
    "query_proj",
    "key_proj",
    "value_proj",
    "Wqkv",
    "Wi",
    "Wo",
    "c_attn",
    "c_proj",
    "c_fc",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "qkv_proj",
    "gate_up_proj",
    "q",
    "k",
    "v",
    "o",
    "wi",
    "wo",
    "fc1",
    "fc2",
]


#: How far float32 may be off on any processor: 4e-4 was seen, of blocks whose gradients are far smaller than others'.
FLOAT32 = 1e-3
#: DeBERTa projects its relative positions once for all rows by the same layers as queries and keys.
SHARED_BY_ROWS = ("query_proj", "key_proj")


def with_lora(example: Example, **settings: object) -> Example:
    """LoRA with random factors on every linear layer, so that no gradient vanishes."""
    config = LoraConfig(**{"r": 2, "target_modules": _LINEAR, "init_lora_weights": False, **settings})
    dtype = next(example.model.parameters()).dtype
    model = get_peft_model(example.model, config).to(dtype).eval()
    return Example(model, example.rows, example.row_losses)


@pytest.mark.parametrize("name", ENCODERS)
def test_classifier_rows_have_the_gradients_they_have_alone(name: str) -> None:
    head = "score" if name == "qwen2" else "classifier"
    slow = SHARED_BY_ROWS if name == "deberta_v2" else ()
    assert_exact(with_lora(make_encoder(name), task_type="SEQ_CLS", modules_to_save=[head]), slow=slow)


@pytest.mark.parametrize("name", DECODERS)
def test_language_model_rows_have_the_gradients_they_have_alone(name: str) -> None:
    assert_exact(with_lora(make_decoder(name), task_type="CAUSAL_LM"))


@pytest.mark.parametrize("name", ["bert", "deberta_v2", "modernbert"])
def test_float32_classifiers_agree_to_float32(name: str) -> None:
    slow = SHARED_BY_ROWS if name == "deberta_v2" else ()
    assert_exact(with_lora(make_encoder(name, dtype=torch.float32), task_type="SEQ_CLS"), tolerance=FLOAT32, slow=slow)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3", "mixtral"])
def test_float32_language_models_agree_to_float32(name: str) -> None:
    assert_exact(with_lora(make_decoder(name, dtype=torch.float32), task_type="CAUSAL_LM"), tolerance=FLOAT32)


@pytest.mark.parametrize(
    "make",
    [
        make_sequence_to_sequence,
        make_image_classifier,
        make_token_classifier,
        make_regressor,
        make_multi_label_classifier,
    ],
)
def test_rows_of_other_tasks_have_the_gradients_they_have_alone(make: object) -> None:
    assert_exact(with_lora(make()))  # type: ignore[operator]


@pytest.mark.parametrize("name", DECODERS)
def test_the_losses_of_tokens_add_up_for_every_language_model(name: str) -> None:
    example = with_lora(make_decoder(name), task_type="CAUSAL_LM")
    batch = collate_rows(example.rows, pad_token_id=0)
    collector = GradientCollector(example.model, example.row_losses)
    with Float64Throughout():
        gradients = collector.collect(batch).blocks
    generator = torch.Generator().manual_seed(1)
    directions = {
        name: torch.randn(values.shape[1], dtype=values.dtype, generator=generator)
        for name, values in gradients.items()
    }

    def losses_of(model: torch.nn.Module, asked: Batch) -> torch.Tensor:
        logits, targets = supervised_logits(model, {**asked.inputs, "use_cache": False}, asked.labels)
        return token_cross_entropy(logits, targets, asked.labels)

    with Float64Throughout():
        parts = collector.split_losses(batch, directions, losses_of, "mean")
    truth = torch.stack([gradients[name] @ directions[name] for name in directions]).sum(dim=0)
    torch.testing.assert_close(parts.sum(dim=1), truth, rtol=1e-8, atol=1e-10)
