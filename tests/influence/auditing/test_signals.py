"""What each signal makes of a row's columns."""

import numpy as np
import pytest

from influence.auditing.signals import (
    MEANINGS,
    describe_signals,
    margins,
    measure_oddness,
    offered_signals,
    predicted_probabilities,
)

#: Three rows: believed, doubted, disbelieved.
COLUMNS = {
    "label": np.array([0, 1, 2], np.int32),
    "predicted": np.array([0, 1, 0], np.int32),
    "probability": np.array([0.9, 0.5, 0.1], np.float32),
    "other_probability": np.array([0.08, 0.4, 0.7], np.float32),
    "loss": np.array([0.1, 0.7, 2.3], np.float32),
    "self_influence": np.array([1, 2, 90], np.float32),
    "influence": np.array([-3, 0, 5], np.float32),
}


@pytest.mark.parametrize("signal", list(MEANINGS))
def test_every_signal_finds_the_disbelieved_row_the_oddest(signal: str) -> None:
    odd = measure_oddness(signal, COLUMNS)  # type: ignore[arg-type]
    assert odd[2] == odd.max()
    assert odd[0] == odd.min()


def test_the_margin_passes_one_where_another_label_wins() -> None:
    np.testing.assert_allclose(margins(COLUMNS), [0.18, 0.9, 1.6], rtol=1e-6)


def test_the_predicted_label_is_as_probable_as_the_likeliest_class() -> None:
    np.testing.assert_allclose(predicted_probabilities(COLUMNS), [0.9, 0.5, 0.7], rtol=1e-6)


def test_language_models_have_no_class_signals() -> None:
    assert offered_signals("causal_lm") == ("loss", "self_influence", "influence")
    assert offered_signals("sequence_classification") == tuple(MEANINGS)


def test_signals_are_described_in_one_order_with_their_weights() -> None:
    described = describe_signals(("margin", "loss"), {"loss": 0.5})
    assert [(signal.name, signal.weight) for signal in described] == [("loss", 0.5), ("margin", 1.0)]
    assert all(signal.meaning.endswith(".") for signal in described)
