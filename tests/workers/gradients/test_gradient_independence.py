"""A row's gradient is its own: neighbours, padding, order, budgets and precision settings do not change whose it is."""

import pytest
import torch
from support.gradients.tiny_models import Example, make_decoder, make_encoder, make_rows
from torch import Tensor, nn

from workers.batching.budget import TokenBudget
from workers.batching.stream import BatchOptions, stream_gradients
from workers.gradients.collector import GradientCollector
from workers.gradients.losses import row_mean_cross_entropy, supervised_logits
from workers.gradients.selection import select_trainable
from workers.rows import Batch, EncodedRow

CPU = torch.device("cpu")


def chosen(example: Example, *patterns: str) -> GradientCollector:
    select_trainable(example.model, patterns)
    return GradientCollector(example.model, example.row_losses)


def streamed(example: Example, collector: GradientCollector, tokens: int, rows: list[EncodedRow]) -> dict[str, Tensor]:
    """(rows, d) by block, in the order of `rows`, from batches of so many tokens."""
    found = {block.name: torch.zeros(len(rows), block.parameters).double() for block in collector.blocks}
    budget = TokenBudget(tokens)
    for positions, gradients in stream_gradients(collector, rows, example.collate, BatchOptions(CPU, budget)):
        for name, values in gradients.blocks.items():
            found[name][positions] = values
    return found


@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe", "llama"])
def test_gradients_do_not_depend_on_the_token_budget(name: str) -> None:
    example = make_decoder(name)
    collector = chosen(example, "*.q_proj", "*.o_proj", "lm_head")
    alone = streamed(example, collector, 1, example.rows)
    for tokens in (9, 20, 1000):
        together = streamed(example, collector, tokens, example.rows)
        for block, values in alone.items():
            assert (together[block] - values).norm() < 1e-6 * values.norm()


def test_gradients_do_not_depend_on_neighbours_or_their_order() -> None:
    example = make_encoder("bert")
    collector = chosen(example, "bert.encoder.layer.1", "classifier")
    row = example.rows[2]
    longer = make_rows([1, 0], lengths=[20, 25])
    batches = [[row], [row, example.rows[0]], [example.rows[1], row], [*longer, row]]
    found = [collector.collect(example.collate(rows)) for rows in batches]
    for rows, gradients in zip(batches, found, strict=True):
        for name, values in gradients.blocks.items():
            mine, alone = values[rows.index(row)], found[0].blocks[name][0]
            assert (mine - alone).norm() <= 1e-6 * alone.norm() + 1e-12


def test_a_row_that_is_not_finite_is_named_and_does_not_touch_its_neighbours() -> None:
    example = make_encoder("bert")
    collector = chosen(example, "classifier")
    clean = collector.collect(example.collate(example.rows))

    def losses_with_a_poisoned_row(model: torch.nn.Module, batch: Batch) -> Tensor:
        losses = example.row_losses(model, batch)
        return losses * torch.tensor([1.0, float("nan"), 1.0, float("inf"), 1.0])[: len(losses)]

    poisoned = GradientCollector(example.model, losses_with_a_poisoned_row).collect(example.collate(example.rows))
    assert clean.find_non_finite() == []
    assert poisoned.find_non_finite() == [1, 3]
    for name, values in clean.blocks.items():
        assert torch.equal(poisoned.blocks[name][[0, 2, 4]], values[[0, 2, 4]])


def test_bfloat16_gives_the_same_gradients_to_its_rounding_in_float32() -> None:
    example = make_decoder("llama", dtype=torch.float32)
    select_trainable(example.model, ["model.layers.1", "model.norm"])
    batch = example.collate(example.rows)
    exact = GradientCollector(example.model, example.row_losses).collect(batch)
    collector = GradientCollector(example.model, example.row_losses, precision="bfloat16")
    rounded = collector.collect(batch)
    assert {block.path for block in collector.blocks} == {"fast"}
    for name, values in exact.blocks.items():
        assert rounded.blocks[name].dtype == torch.float32
        assert (rounded.blocks[name] - values).norm() < 0.05 * values.norm()


def test_biases_are_blocks_only_where_they_are_asked_for() -> None:
    example = make_encoder("bert")
    select_trainable(example.model, ["classifier"])
    without = GradientCollector(example.model, example.row_losses)
    with_biases = GradientCollector(example.model, example.row_losses, include_bias=True)
    assert [block.name for block in without.blocks] == ["classifier.weight"]
    assert [block.name for block in with_biases.blocks] == ["classifier.weight", "classifier.bias"]


def test_collecting_leaves_no_trace_in_the_model() -> None:
    example = make_encoder("bert")
    collector = chosen(example, "classifier", "bert.encoder.layer.1.attention")
    collector.collect(example.collate(example.rows))
    assert all(parameter.grad is None for parameter in example.model.parameters())
    assert all(not module._forward_hooks for module in example.model.modules())
    assert example.model.classifier.bias.requires_grad  # type: ignore[union-attr]


def test_logits_of_supervised_positions_give_the_losses_of_all_logits() -> None:
    for name in ("gpt2", "llama", "gemma2"):
        example = make_decoder(name, dtype=torch.float32)
        batch = example.collate(example.rows)
        with torch.no_grad():
            whole = example.row_losses(example.model, batch)
            logits, targets = supervised_logits(example.model, {**batch.inputs, "use_cache": False}, batch.labels)
        assert logits.shape[1] == int((batch.labels[:, 1:] >= 0).sum(1).max()) < batch.labels.shape[1]
        torch.testing.assert_close(row_mean_cross_entropy(logits, targets), whole)


class _PassesNothingOn(torch.autograd.Function):
    """A product that an optimised kernel computes without a backward of its own."""

    @staticmethod
    def forward(_context: object, values: Tensor) -> Tensor:
        return values * 2

    @staticmethod
    def backward(_context: object, *_deltas: Tensor) -> None:
        return None


class _Forked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(4, 4)
        self.beside = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(_PassesNothingOn.apply(self.below(x)) + self.beside(x))  # type: ignore[no-any-return,no-untyped-call]


def test_what_no_gradient_reaches_has_gradient_zero() -> None:
    batch = Batch({"x": torch.randn(3, 4)}, torch.tensor([0, 1, 2]))

    def losses(model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(**batch.inputs), batch.labels, reduction="none")

    found = GradientCollector(_Forked().eval(), losses).collect(batch)
    assert not found.blocks["below.weight"].any()
    assert found.blocks["beside.weight"].any(dim=1).all()
