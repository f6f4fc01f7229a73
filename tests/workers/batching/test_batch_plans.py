"""Rows of like length share batches; padding is never attended to; budgets grow and shrink."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workers.batching.budget import TokenBudget, most_rows
from workers.batching.collate import collate_rows
from workers.batching.plan import plan_batches
from workers.process.threads import count_usable_cpus
from workers.rows import IGNORED, EncodedRow

CPU = torch.device("cpu")


def row(ids: list[int], labels: object, **inputs: list[int]) -> EncodedRow:
    return EncodedRow("r", {"input_ids": ids, **inputs}, labels, len(ids))


@given(
    lengths=st.lists(st.integers(0, 300), max_size=60),
    token_budget=st.integers(1, 500),
    max_rows=st.integers(1, 20),
)
def test_every_row_is_in_one_batch_within_the_budget(lengths: list[int], token_budget: int, max_rows: int) -> None:
    batches = plan_batches(lengths, token_budget=token_budget, max_rows=max_rows)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= token_budget
    assert batches == plan_batches(lengths, token_budget=token_budget, max_rows=max_rows)


def test_little_is_spent_on_padding() -> None:
    lengths = [5, 90, 7, 88, 6, 91] * 20
    batches = plan_batches(lengths, token_budget=1000, max_rows=100)
    padded = sum(len(batch) * max(lengths[position] for position in batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)


def test_rows_are_padded_on_the_right_and_masked() -> None:
    batch = collate_rows([row([5, 6, 7], [IGNORED, 6, 7]), row([8], [8])], pad_token_id=9)
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.labels.tolist() == [[IGNORED, 6, 7], [8, IGNORED, IGNORED]]


def test_masks_and_types_are_padded_with_zero_whatever_the_padding_token() -> None:
    rows = [
        row([5, 6], 0, attention_mask=[1, 1], token_type_ids=[1, 1], decoder_input_ids=[4]),
        row([5], 1, attention_mask=[1], token_type_ids=[1], decoder_input_ids=[4, 3]),
    ]
    inputs = collate_rows(rows, pad_token_id=9).inputs
    assert inputs["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert inputs["token_type_ids"].tolist() == [[1, 1], [1, 0]]
    assert inputs["decoder_input_ids"].tolist() == [[4, 9], [4, 3]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 0], torch.tensor([1, 0])),
        ([0.5, 2.0], torch.tensor([0.5, 2.0])),
        ([[1.0, 0.0], [0.0, 1.0]], torch.tensor([[1.0, 0.0], [0.0, 1.0]])),
        ([torch.tensor([1, 2]), torch.tensor([3, 4])], torch.tensor([[1, 2], [3, 4]])),
    ],
)
def test_labels_keep_their_kind(labels: list[object], expected: torch.Tensor) -> None:
    batch = collate_rows([row([1], label) for label in labels], pad_token_id=0)
    assert torch.equal(batch.labels, expected)
    assert batch.labels.dtype == expected.dtype


def test_a_budget_grows_while_tokens_get_faster_and_no_further() -> None:
    budget = TokenBudget.for_device(CPU)
    first = budget.tokens
    budget.observe(first, 9.0)  # starting up counts for nothing
    budget.observe(first, 0.01)
    assert budget.tokens == 2 * first
    budget.observe(first // 2, 0.0001)  # not a full batch
    assert budget.tokens == 2 * first
    budget.observe(2 * first, 0.03)  # slower a token than before
    assert budget.tokens == first
    assert not budget.growing


def test_a_budget_stops_growing_before_a_query_would_wait_too_long() -> None:
    budget = TokenBudget.for_device(CPU)
    for _ in range(2):
        budget.observe(budget.tokens, 0.2)
    assert not budget.growing
    assert budget.tokens == TokenBudget.for_device(CPU).tokens


def test_a_slow_model_gets_batches_that_a_query_can_wait_for() -> None:
    budget = TokenBudget.for_device(CPU)
    for _ in range(2):
        budget.observe(budget.tokens, 1.0)
    assert budget.tokens == TokenBudget.for_device(CPU).tokens // 4
    assert not budget.growing


def test_a_given_budget_is_kept_until_memory_runs_out() -> None:
    budget = TokenBudget(512)
    budget.observe(512, 0.001)
    assert budget.tokens == 512
    budget.halve(rows=4, longest=100)
    assert budget.tokens == 200
    budget.halve(rows=2, longest=150)
    assert budget.tokens == 150


def test_rows_a_batch_are_bounded_by_the_memory_of_their_gradients() -> None:
    assert most_rows(1, CPU) > 10_000
    assert most_rows(1 << 40, CPU) == 1


def test_cores_are_counted_as_the_container_grants_them(tmp_path) -> None:  # type: ignore[no-untyped-def]
    quota = tmp_path / "cpu.max"
    quota.write_text("100000 100000\n")
    assert count_usable_cpus(quota) == 1
    quota.write_text("max 100000\n")
    everything = count_usable_cpus(quota)
    assert everything == count_usable_cpus(tmp_path / "missing") >= 1
