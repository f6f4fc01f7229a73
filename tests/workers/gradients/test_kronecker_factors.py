"""Kronecker factors taken with the gradients of a padded batch, against one row at a time without padding."""

from typing import Any

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from support.gradients.one_by_one import trainable_parameters
from support.gradients.tiny_models import (
    VOCABULARY,
    Example,
    classification_losses,
    make_decoder,
    make_encoder,
    make_sequence_to_sequence,
)
from support.oracle import loop_factors
from support.trials.float64 import Float64Throughout
from torch import nn

from workers.gradients.collector import GradientCollector, RowGradients
from workers.gradients.selection import select_trainable
from workers.rows import Batch

MADE = {"encoder": lambda: make_encoder("bert"), "decoder": lambda: make_decoder("llama")}
LORA = {"encoder": ["query", "dense"], "decoder": ["q_proj", "down_proj"]}


def adapt(example: Example, **settings: Any) -> Example:
    model = get_peft_model(example.model, LoraConfig(**{"r": 2, "init_lora_weights": False, **settings}))
    return Example(model.double().eval(), example.rows, example.row_losses)


def collect(example: Example, **settings: Any) -> RowGradients:
    with Float64Throughout():
        collector = GradientCollector(example.model, example.row_losses, **settings)
        return collector.collect(example.collate(example.rows), with_factors=True)


def assert_factors(example: Example) -> None:
    """Every weight of a linear layer has the factors that its own inputs and output gradients give, up to a constant:
    a LoRA's scaling stands on the one side or on the other."""
    found = collect(example).factors
    with Float64Throughout():
        losses = [lambda row=row: example.row_losses(example.model, example.collate([row]))[0] for row in example.rows]
        expected = loop_factors(example.model, losses)
    names = {name: p for name, p in trainable_parameters(example.model).items() if p.ndim == 2}
    assert set(found) == set(names)
    for name, parameter in names.items():
        for side, truth in zip(found[name], expected[id(parameter)], strict=True):
            expected_side = torch.from_numpy(truth / truth.trace())
            torch.testing.assert_close(side / side.trace(), expected_side, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", MADE)
def test_factors_of_lora_are_sums_over_rows_and_positions_whatever_the_padding(kind: str) -> None:
    saved = ["classifier"] if kind == "encoder" else None
    assert_factors(adapt(MADE[kind](), target_modules=LORA[kind], modules_to_save=saved))


def test_factors_in_float32_do_not_depend_on_which_rows_share_a_batch() -> None:
    """The shortest row has only its first token to learn: the gradient of its query is rounding throughout."""
    example = make_decoder("llama", dtype=torch.float32)
    model = get_peft_model(example.model, LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj"])).eval()
    collector = GradientCollector(model, example.row_losses)
    together, *alone = (
        collector.collect(example.collate(rows), with_factors=True).factors
        for rows in [example.rows, *([row] for row in example.rows)]
    )
    for name, pair in together.items():
        for number, side in enumerate(pair):
            expected = sum(factors[name][number] for factors in alone)
            assert isinstance(expected, torch.Tensor)
            assert (side - expected).abs().max() < 1e-4 * expected.abs().max()


class _FirstTokens(nn.Module):
    """Values and queries of attention with itself: the queries add nothing but rounding to the gradient."""

    def __init__(self, rounding: float) -> None:
        super().__init__()
        self.query = nn.Linear(4, 4)
        self.value = nn.Linear(4, 4)
        self.rounding = rounding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.value(x) + self.rounding * self.query(x)
        return values


@pytest.mark.parametrize("rounding", [0.0, 1e-9, -3e-8])
def test_rounding_does_not_decide_whether_a_position_counts(rounding: float) -> None:
    attention = _FirstTokens(rounding)
    model = nn.Sequential(attention, nn.Flatten(), nn.Linear(8, 3)).eval().requires_grad_(False)
    attention.query.requires_grad_(True)
    x = torch.randn(5, 2, 4)

    def losses(model: nn.Module, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch.inputs["x"]), batch.labels, reduction="none")

    collector = GradientCollector(model, losses)
    found = collector.collect(Batch({"x": x}, torch.tensor([0, 1, 2, 1, 0])), with_factors=True)
    _, inputs = found.factors["0.query.weight"]
    torch.testing.assert_close(inputs, x.flatten(0, 1).T @ x.flatten(0, 1))


def test_positions_of_an_answer_say_nothing_of_the_question_at_the_same_places() -> None:
    made = make_sequence_to_sequence()
    example = Example(made.model, [made.rows[0], made.rows[4]], made.row_losses)
    select_trainable(example.model, ["decoder.block.*.EncDecAttention.k"])
    inputs = example.collate(example.rows).inputs
    assert inputs["input_ids"].shape == inputs["decoder_input_ids"].shape
    assert not inputs["attention_mask"].all()
    assert_factors(example)


def test_transposed_weights_have_their_factors_in_the_order_of_their_sides() -> None:
    example = make_decoder("gpt2")
    select_trainable(example.model, ["transformer.h.1.attn.c_attn.weight"])
    assert_factors(example)
    ((left, right),) = collect(example).factors.values()
    assert (left.shape, right.shape) == ((16, 16), (48, 48))


def test_a_layer_used_twice_adds_up() -> None:
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
    assert_factors(adapt(Example(model, make_encoder("bert").rows, classification_losses), target_modules=["query"]))


def test_what_does_not_multiply_has_no_factors() -> None:
    example = make_encoder("bert")
    select_trainable(example.model, ["*.word_embeddings", "*.layer.1.output.LayerNorm", "classifier"])
    found = collect(example, include_bias=True)
    assert set(found.factors) == {"classifier.weight"}
    assert len(found.blocks) == 5


def test_a_weight_that_is_also_an_embedding_has_no_factors() -> None:
    example = make_decoder("gpt2")
    select_trainable(example.model, ["transformer.wte"])
    assert example.model.lm_head.weight is example.model.transformer.wte.weight  # type: ignore[union-attr]
    assert collect(example).factors == {}


def test_factors_are_taken_only_where_they_are_asked_for() -> None:
    example = adapt(make_encoder("bert"), target_modules=["query"])
    assert GradientCollector(example.model, example.row_losses).collect(example.collate(example.rows)).factors == {}


def test_factors_change_no_gradient() -> None:
    example = adapt(make_encoder("bert"), target_modules=["query", "value"])
    batch = example.collate(example.rows)
    collector = GradientCollector(example.model, example.row_losses)
    with_factors, without = collector.collect(batch, with_factors=True), collector.collect(batch)
    for name, values in without.blocks.items():
        assert torch.equal(values, with_factors.blocks[name])
