"""What cannot have a gradient of its own is refused by name, with a hint on what to do."""

import pytest
import torch
from support.gradients.tiny_models import Example, classification_losses, make_encoder
from torch import Tensor, nn

from influence.errors import NothingTrainable, TaskMismatch, UnsupportedModule
from workers.gradients.collector import GradientCollector
from workers.gradients.selection import select_trainable
from workers.rows import Batch


@pytest.fixture
def example() -> Example:
    made = make_encoder("bert")
    select_trainable(made.model, ["classifier"])
    return made


def test_a_module_in_training_mode_is_named(example: Example) -> None:
    collector = GradientCollector(example.model, example.row_losses)
    example.model.bert.encoder.layer[1].train()  # type: ignore[union-attr,index]
    with pytest.raises(UnsupportedModule, match=r"'bert.encoder.layer.1' is in training mode") as refused:
        collector.collect(example.collate(example.rows))
    assert "eval()" in refused.value.hint


def test_a_model_that_trains_nothing_is_refused(example: Example) -> None:
    example.model.requires_grad_(False)
    with pytest.raises(NothingTrainable, match="requires a gradient") as refused:
        GradientCollector(example.model, example.row_losses)
    assert "adapter" in refused.value.hint


def test_a_model_that_trains_only_biases_is_told_about_the_setting(example: Example) -> None:
    select_trainable(example.model, ["classifier.bias"])
    with pytest.raises(NothingTrainable) as refused:
        GradientCollector(example.model, example.row_losses)
    assert "include_bias" in refused.value.hint
    assert len(GradientCollector(example.model, example.row_losses, include_bias=True).blocks) == 1


def test_a_pattern_that_fits_nothing_is_named(example: Example) -> None:
    with pytest.raises(NothingTrainable, match=r"called 'bert.encoder.layer.7'"):
        select_trainable(example.model, ["classifier", "bert.encoder.layer.7"])


def test_weights_that_are_not_in_memory_are_refused_by_name(example: Example) -> None:
    example.model.classifier = nn.Linear(16, 3, device="meta")
    with pytest.raises(UnsupportedModule, match=r"'classifier.weight' of a Linear .*offloaded"):
        GradientCollector(example.model, example.row_losses)


class _Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)
        self.head = nn.Linear(4, 3)


def test_a_module_that_mixes_rows_is_refused_by_name() -> None:
    collector = GradientCollector(_Normalised().eval(), classification_losses)
    batch = Batch({"x": torch.zeros(2, 4)}, torch.zeros(2, dtype=torch.long))
    with pytest.raises(UnsupportedModule, match="'norm' normalises over the rows"):
        collector.collect(batch)


def test_a_label_outside_the_head_is_an_error_and_not_a_gradient(example: Example) -> None:
    batch = example.collate(example.rows)
    collector = GradientCollector(example.model, example.row_losses)
    with pytest.raises(TaskMismatch, match=r"IndexError: .*out of bounds"):
        collector.collect(Batch(batch.inputs, batch.labels + 3))


@pytest.mark.parametrize(
    ("raised", "passes"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"), False),
        (AttributeError("'Conv2d' object has no attribute 'stride'"), False),
        (ValueError("Input image size (32*32) doesn't match model (16*16)."), False),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (torch.OutOfMemoryError("of the device"), True),
    ],
)
def test_what_a_model_raises_is_told_by_name_but_for_memory_and_devices(
    example: Example, raised: Exception, passes: bool
) -> None:
    def losses(_model: nn.Module, _batch: Batch) -> Tensor:
        raise raised

    collector, batch = GradientCollector(example.model, losses), example.collate(example.rows)
    for compute in (collector.collect, collector.evaluate):
        with pytest.raises(type(raised) if passes else TaskMismatch) as found:
            compute(batch)
        assert str(raised) in str(found.value)
        if not passes:
            assert isinstance(found.value, TaskMismatch)
            assert type(raised).__name__ in found.value.detail
            assert found.value.hint


def test_a_loss_that_is_not_one_number_a_row_is_refused(example: Example) -> None:
    def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
        return classification_losses(model, batch).mean()

    with pytest.raises(ValueError, match=r"shape \(\) for 5 rows"):
        GradientCollector(example.model, mean_loss).collect(example.collate(example.rows))


class _WithoutBackward(torch.autograd.Function):
    @staticmethod
    def forward(_context: object, values: Tensor) -> Tensor:
        return values * 2


def test_an_operation_without_a_backward_is_refused_by_the_block_it_cuts_off(example: Example) -> None:
    def losses(model: nn.Module, batch: Batch) -> Tensor:
        return _WithoutBackward.apply(classification_losses(model, batch))  # type: ignore[no-any-return,no-untyped-call]

    with pytest.raises(UnsupportedModule, match=r"classifier.weight"):
        GradientCollector(example.model, losses).collect(example.collate(example.rows))
