"""What kohya's files say of their training is followed or refused, never passed over."""

import pytest

from influence.checkpoint_files.adapters.diffusion.training_notes import check_training
from influence.errors import AdapterMismatch

PLAIN = {
    "ss_clip_skip": "None",
    "ss_noise_offset": "None",
    "ss_min_snr_gamma": "None",
    "ss_zero_terminal_snr": "False",
    "ss_loss_type": "l2",
    "modelspec.prediction_type": "epsilon",
    "ss_network_module": "networks.lora",
}


def test_a_plain_training_is_taken_without_a_word() -> None:
    assert check_training(PLAIN, "epsilon") == ()
    assert check_training({}, "v_prediction") == ()
    assert check_training({**PLAIN, "ss_clip_skip": "1", "modelspec.prediction_type": "v"}, "v_prediction") == ()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("ss_clip_skip", "2", "clip_skip 2"),
        ("modelspec.prediction_type", "v", "predicted 'v'"),
        ("ss_loss_type", "huber", "'huber'"),
    ],
)
def test_a_training_of_another_model_or_loss_is_refused(field: str, value: str, says: str) -> None:
    with pytest.raises(AdapterMismatch, match=says):
        check_training({**PLAIN, field: value}, "epsilon")


def test_what_changed_the_loss_is_said_with_the_setting_that_follows_it() -> None:
    told = check_training({**PLAIN, "ss_noise_offset": "0.05", "ss_min_snr_gamma": "5.0"}, "epsilon")
    assert [note for note in told if "noise_offset 0.05" in note and "'noise_offset'" in note]
    assert [note for note in told if "min_snr_gamma 5.0" in note and "'snr_gamma'" in note]
