"""Ways to get every row's gradient, and the training step that none of them can undercut by much."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.gradients.workloads import Workload
from influence.contracts.index import Precision
from workers.gradients.collector import GradientCollector
from workers.rows import Batch

Run = Callable[[], object]


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    return nullcontext() if precision == "float32" else torch.autocast(device.type, dtype=torch.bfloat16)


def collecting(collector: GradientCollector, batches: Sequence[Batch]) -> Run:
    """Ours."""

    def run() -> None:
        for batch in batches:
            collector.collect(batch)

    return run


def training(work: Workload, batches: Sequence[Batch], precision: Precision) -> Run:
    """Forward, backward and gradients of the trainable parameters, without the optimiser."""
    for name, parameter in work.model.named_parameters():
        if name.endswith("bias"):
            parameter.requires_grad_(False)
    parameters = list(work.trainable.values())

    def run() -> None:
        for batch in batches:
            with autocast(batch.labels.device, precision):
                loss = work.step_loss(work.model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            for parameter in parameters:
                parameter.grad = None

    return run


def looping(work: Workload, device: torch.device, precision: Precision) -> Run:
    """One row at a time, without padding: what published code does."""
    alone = [work.collate([row]).to(device) for row in work.rows]
    parameters = list(work.trainable.values())

    def run() -> None:
        for batch in alone:
            with autocast(device, precision):
                loss = work.step_loss(work.model, batch)
            torch.autograd.grad(loss, parameters)

    return run


class _Called(nn.Module):
    """The model with its loss, so that `functional_call` can put parameters in their place."""

    def __init__(self, work: Workload) -> None:
        super().__init__()
        self.model = work.model
        self._work = work

    def forward(self, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        return self._work.step_loss(self.model, Batch(inputs, labels))


def vectorising(work: Workload, batches: Sequence[Batch], precision: Precision) -> Run:
    """`torch.func.vmap(grad)` over the padded batch."""
    module = _Called(work)
    parameters = {f"model.{name}": parameter.detach() for name, parameter in work.trainable.items()}
    causal = batches[0].labels.ndim == 2

    def loss_of_row(changed: dict[str, Tensor], inputs: dict[str, Tensor], label: Tensor) -> Tensor:
        alone = {name: value[None] for name, value in inputs.items()}
        loss: Tensor = functional_call(module, changed, (alone, label[None]))
        return loss

    gradients: Any = vmap(grad(loss_of_row), in_dims=(None, 0, 0))

    def run() -> None:
        for batch in batches:
            inputs = dict(batch.inputs)
            if "attention_mask" in inputs:
                inputs["attention_mask"] = attention_bias(inputs["attention_mask"], causal=causal)
            with autocast(batch.labels.device, precision):
                gradients(parameters, inputs, batch.labels)

    return run


def attention_bias(mask: Tensor, *, causal: bool) -> Tensor:
    """(B, 1, T, T) added to attention scores: models ask of a mask whether all is true, which vmap cannot answer."""
    length = mask.shape[1]
    seen = mask[:, None, None, :].bool().expand(-1, 1, length, length)
    if causal:
        seen = seen & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    return torch.where(seen, 0.0, -1e9)
