"""Gradients of many rows within memory: halving, remembering, giving up with a reason, and letting others in."""

import threading
import weakref
from collections.abc import Sequence
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from influence.errors import DeviceLost, OutOfMemory, TaskMismatch
from workers.batching.budget import TokenBudget
from workers.batching.collate import collate_rows
from workers.batching.stream import BatchOptions, stream_gradients
from workers.gradients.collector import GradientCollector
from workers.rows import Batch, EncodedRow
from workers.runtime.fair_lock import FairLock

CPU = torch.device("cpu")
LENGTHS = [3, 9, 4, 4, 7, 2, 8, 1, 6, 5]


class Classifier(nn.Module):
    """The mean of embeddings, a linear layer; `memory_tokens` is how large a batch it can take."""

    def __init__(self, memory_tokens: int = 10_000) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 4).requires_grad_(False)
        self.head = nn.Linear(4, 3)
        self.memory_tokens = memory_tokens
        self.batches: list[int] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if input_ids.numel() > self.memory_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        self.batches.append(len(input_ids))
        kept = attention_mask[:, :, None].float()
        return self.head((self.embed(input_ids) * kept).sum(1) / kept.sum(1))  # type: ignore[no-any-return]


def losses(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(model(**batch.inputs), batch.labels, reduction="none")


def collate(rows: Sequence[EncodedRow]) -> Batch:
    return collate_rows(rows, pad_token_id=0)


@pytest.fixture
def rows() -> list[EncodedRow]:
    return [
        EncodedRow(str(place), {"input_ids": [1 + (place + step) % 19 for step in range(length)]}, place % 3, length)
        for place, length in enumerate(LENGTHS)
    ]


def gather(model: nn.Module, rows: list[EncodedRow], budget: TokenBudget, lock: FairLock | None = None) -> Tensor:
    collector = GradientCollector(model.eval(), losses)
    found = torch.full((len(rows), 12), torch.nan)
    for positions, gradients in stream_gradients(
        collector, rows, collate, BatchOptions(CPU, budget, lock or nullcontext())
    ):
        assert found[positions].isnan().all()
        found[positions] = gradients.blocks["head.weight"]
    return found


def test_every_row_comes_once_and_the_budget_does_not_matter(rows: list[EncodedRow]) -> None:
    whole = gather(Classifier(), rows, TokenBudget(1000))
    assert whole.isfinite().all()
    for tokens in (1, 10, 25):
        torch.testing.assert_close(gather(Classifier(), rows, TokenBudget(tokens)), whole)


def test_out_of_memory_halves_the_batch_and_is_remembered(rows: list[EncodedRow]) -> None:
    budget, small = TokenBudget(90), Classifier(memory_tokens=30)
    torch.testing.assert_close(gather(small, rows, budget), gather(Classifier(), rows, TokenBudget(1000)))
    assert budget.tokens <= 30
    assert max(small.batches) > 1
    remembered = budget.tokens
    gather(small, rows, budget)
    assert budget.tokens == remembered


def test_a_row_that_does_not_fit_alone_is_given_up_with_a_hint(rows: list[EncodedRow]) -> None:
    with pytest.raises(OutOfMemory, match="A row of 9 tokens does not fit the memory of cpu") as refused:
        gather(Classifier(memory_tokens=8), rows, TokenBudget(100))
    assert "max_length" in refused.value.hint
    assert refused.value.extra == {"tokens": 9}


def test_a_device_that_disappears_is_told_from_a_batch_too_large(rows: list[EncodedRow]) -> None:
    def losses_of_a_dead_device(_model: nn.Module, _batch: Batch) -> Tensor:
        raise torch.AcceleratorError("CUDA error: device not ready\nCompile with TORCH_USE_CUDA_DSA")

    collector = GradientCollector(Classifier().eval(), losses_of_a_dead_device)
    with pytest.raises(DeviceLost, match="device not ready") as refused:
        next(stream_gradients(collector, rows, collate, BatchOptions(CPU, TokenBudget(10))))
    assert refused.value.hint


def test_other_errors_are_told_by_name(rows: list[EncodedRow]) -> None:
    def losses_with_a_bug(_model: nn.Module, _batch: Batch) -> Tensor:
        raise RuntimeError("shapes do not match")

    collector = GradientCollector(Classifier().eval(), losses_with_a_bug)
    with pytest.raises(TaskMismatch, match="RuntimeError: shapes do not match"):
        next(stream_gradients(collector, rows, collate, BatchOptions(CPU, TokenBudget(10))))


def test_a_query_gets_the_lock_between_two_batches(rows: list[EncodedRow]) -> None:
    lock, served = FairLock(), threading.Event()
    collector = GradientCollector(Classifier().eval(), losses)
    stream = stream_gradients(collector, rows, collate, BatchOptions(CPU, TokenBudget(9), lock))
    next(stream)

    def query() -> None:
        with lock:
            served.set()

    thread = threading.Thread(target=query)
    thread.start()
    thread.join()
    assert served.is_set()
    assert sum(len(positions) for positions, _ in stream) < len(rows)


def test_no_rows_give_no_batches() -> None:
    assert gather(Classifier(), [], TokenBudget(10)).shape == (0, 12)


class Witness(Classifier):
    """Notes, whenever it is called, how many gradients of earlier batches are still in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[weakref.ref[Tensor]] = []
        self.alive: list[int] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.alive.append(sum(made() is not None for made in self.made))
        return super().forward(input_ids, attention_mask)


def test_a_batch_that_was_let_go_is_gone_before_the_next(rows: list[EncodedRow]) -> None:
    model = Witness()
    collector = GradientCollector(model.eval(), losses)
    for _, found in stream_gradients(collector, rows, collate, BatchOptions(CPU, TokenBudget(12))):
        model.made += [weakref.ref(values) for values in found.blocks.values()]
        del found
    assert len(model.made) > 2
    assert set(model.alive) == {0}
