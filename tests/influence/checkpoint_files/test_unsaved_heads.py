"""A classifier's head that was trained and not saved is missed with the name that it has to be saved by."""

import pytest

from influence.checkpoint_files.task.head import count_labels
from influence.checkpoint_files.tensors import AdapterTensors, Shape
from influence.errors import TaskMismatch

#: A tensor of an encoder-decoder as its files name it; the head is nowhere.
BASE: dict[str, Shape] = {"model.encoder.layers.0.self_attn.q_proj.weight": (32, 32)}


def test_the_hint_says_which_heads_have_to_be_named() -> None:
    with pytest.raises(TaskMismatch, match="would be random") as caught:
        count_labels("sequence_classification", AdapterTensors(), BASE)
    for name in ("classification_head", "logits_proj", "sequence_summary"):
        assert f"'{name}'" in caught.value.hint


@pytest.mark.parametrize("head", ["classification_head.out_proj.weight", "logits_proj.weight"])
def test_a_head_that_was_saved_by_such_a_name_is_not_missed(head: str) -> None:
    tensors = AdapterTensors()
    tensors.saved[head] = (3, 32)
    count_labels("sequence_classification", tensors, BASE)
