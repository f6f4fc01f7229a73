"""What kohya's files say of their training is followed or refused, never passed over."""

import pytest

from influence.checkpoint_files.adapters.diffusion.training_notes import check_training
from influence.contracts.checkpoint import PipelineRecord
from influence.errors import AdapterMismatch

EPSILON = PipelineRecord(prediction="epsilon", train_timesteps=1000, resolution=512, works_on="latents")
VELOCITY = EPSILON.model_copy(update={"prediction": "v_prediction"})
XL = EPSILON.model_copy(update={"text_encoders": 2})

PLAIN = {
    "ss_clip_skip": "None",
    "ss_noise_offset": "None",
    "ss_min_snr_gamma": "None",
    "ss_zero_terminal_snr": "False",
    "ss_loss_type": "l2",
    "modelspec.prediction_type": "epsilon",
    "ss_network_module": "networks.lora",
    "ss_resolution": "(512, 512)",
    "ss_max_token_length": "None",
    "ss_enable_bucket": "False",
    "modelspec.timestep_range": "0,1000",
}


def test_a_plain_training_is_taken_without_a_word() -> None:
    assert check_training(PLAIN, EPSILON) == ()
    assert check_training({}, VELOCITY) == ()
    assert check_training({**PLAIN, "ss_clip_skip": "1", "modelspec.prediction_type": "v"}, VELOCITY) == ()


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
        check_training({**PLAIN, field: value}, EPSILON)


def test_what_changed_the_loss_is_said_with_the_setting_that_follows_it() -> None:
    told = check_training({**PLAIN, "ss_noise_offset": "0.05", "ss_min_snr_gamma": "5.0"}, EPSILON)
    assert [note for note in told if "noise_offset 0.05" in note and "'noise_offset'" in note]
    assert [note for note in told if "min_snr_gamma 5.0" in note and "'snr_gamma'" in note]


def test_layers_that_the_trainer_passes_over_on_sdxl_are_no_other_texts() -> None:
    assert check_training({**PLAIN, "ss_clip_skip": "2"}, XL) == ()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("ss_resolution", "(768, 768)", "'resolution'"),
        ("ss_enable_bucket", "True", "the middle square"),
        ("ss_max_token_length", "225", "225 tokens"),
        ("modelspec.timestep_range", "500,1000", "500,1000 alone"),
        ("ss_caption_dropout_rate", "0.1", "never without"),
        ("ss_noise_offset_random_strength", "True", "random strength"),
        ("ss_network_module", "networks.lora_fa", "lora_fa trained the second factor"),
    ],
)
def test_what_training_read_otherwise_is_told(field: str, value: str, says: str) -> None:
    (told,) = check_training({**PLAIN, field: value}, EPSILON)
    assert says in told
