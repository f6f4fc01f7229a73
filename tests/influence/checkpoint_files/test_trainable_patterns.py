"""Which tensors of a plain model's files patterns mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.checkpoint_files.trainable import fits, match_tensors, normalise_patterns
from influence.contracts.checkpoint import MAX_PATTERNS
from influence.errors import InvalidRequest, NothingTrainable

FILE = {
    "bert.encoder.layer.1.output.dense.weight": TensorInfo("F32", (4, 3), 0, 48),
    "bert.encoder.layer.11.output.dense.weight": TensorInfo("F32", (4, 3), 48, 96),
    "bert.embeddings.position_ids": TensorInfo("I64", (1, 2), 96, 112),
    "classifier.weight": TensorInfo("BF16", (2, 3), 112, 124),
    "classifier.bias": TensorInfo("F32", (2,), 124, 132),
}


def test_a_module_stands_for_everything_inside_it_and_for_no_other() -> None:
    assert list(match_tensors(["bert.encoder.layer.1"], FILE)) == ["bert.encoder.layer.1.output.dense.weight"]
    assert set(match_tensors(["classifier"], FILE)) == {"classifier.weight", "classifier.bias"}
    assert set(match_tensors(["*.layer.1?", "classifier.bias"], FILE)) == {
        "bert.encoder.layer.11.output.dense.weight",
        "classifier.bias",
    }


@pytest.mark.parametrize("pattern", ["encoder.layer.1", "model.bert.encoder.layer.1"])
def test_names_in_a_file_may_lack_the_outermost_module_or_have_it_in_excess(pattern: str) -> None:
    assert list(match_tensors([pattern], FILE)) == ["bert.encoder.layer.1.output.dense.weight"]


@pytest.mark.parametrize("pattern", ["layer.1", "classifie", "bert.embeddings", "Classifier"])
def test_a_pattern_that_means_no_weight_is_refused_with_the_outermost_modules(pattern: str) -> None:
    with pytest.raises(NothingTrainable, match=f"called '{pattern}'") as refused:
        match_tensors(["classifier", pattern], FILE)
    assert refused.value.extra == {"pattern": pattern, "modules": ["bert", "classifier"]}
    assert "bert, classifier" in refused.value.hint


@pytest.mark.parametrize("pattern", ["", "[ab]", "a/b", "a b", "(a+)+$", "a\n", "x" * 257])
def test_only_names_with_wildcards_are_patterns(pattern: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        normalise_patterns([pattern])
    assert "classifier" in refused.value.hint


def test_too_many_patterns_and_none_are_refused() -> None:
    for patterns in ([], [f"a{number}" for number in range(MAX_PATTERNS + 1)]):
        with pytest.raises(InvalidRequest):
            normalise_patterns(patterns)


def test_order_and_repetition_mean_nothing() -> None:
    assert normalise_patterns(["b", "a", "b"]) == normalise_patterns(["a", "b"]) == ("a", "b")


@given(st.lists(st.sampled_from(["a", "b1", "layer", "0"]), min_size=1, max_size=5), st.data())
def test_every_module_around_a_name_fits_it(parts: list[str], data: st.DataObject) -> None:
    name = ".".join(parts)
    count = data.draw(st.integers(1, len(parts)))
    assert fits(name, ".".join(parts[:count]))
    assert fits(name, "*")
    assert not fits(name, f"{name}.more")


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not fits("a" * 500, "*a" * 100 + "b")
