"""The checkpoints of a run: which folders are, what they read with, and what each weighs."""

import json

import pytest

from influence.checkpoint_files.adapters.run_weights import find_weight_doubts, read_rates, weigh
from influence.checkpoint_files.adapters.runs import MAX_STEPS, choose_run, find_steps, share_files
from influence.errors import AdapterConfigRefused

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def run_of(*steps: int, top: str = "") -> list[str]:
    return [f"{top}checkpoint-{step}/{name}" for step in steps for name in (CONFIG, WEIGHTS, "optimizer.pt")]


def log(*entries: tuple[int, float]) -> bytes:
    return json.dumps({"log_history": [{"step": step, "learning_rate": rate} for step, rate in entries]}).encode()


def test_checkpoints_come_in_the_order_of_their_steps() -> None:
    assert list(find_steps(run_of(100, 20, 3))) == [3, 20, 100]
    assert find_steps(run_of(5, top="out/run-1/")) == {5: "out/run-1/checkpoint-5"}


def test_epochs_are_checkpoints_as_steps_are() -> None:
    names = [f"epoch_{number}/{name}" for number in (1, 0) for name in (CONFIG, WEIGHTS)]
    assert find_steps(names) == {0: "epoch_0", 1: "epoch_1"}


def test_epochs_and_steps_in_one_folder_have_no_order() -> None:
    with pytest.raises(AdapterConfigRefused, match="count epochs"):
        find_steps([*run_of(100), f"epoch_1/{CONFIG}"])


def test_the_adapter_beside_them_is_none_of_them() -> None:
    assert list(find_steps([CONFIG, WEIGHTS, *run_of(1, 2)])) == [1, 2]


@pytest.mark.parametrize(
    "names", [[CONFIG, WEIGHTS], [], run_of(*range(MAX_STEPS + 1)), [*run_of(1, top="a/"), *run_of(1, top="b/")]]
)
def test_what_is_no_run_is_refused(names: list[str]) -> None:
    with pytest.raises(AdapterConfigRefused):
        find_steps(names)


def test_each_checkpoint_brings_its_files_and_the_trainers_log() -> None:
    chosen = choose_run([*run_of(1, 2), "checkpoint-2/trainer_state.json", "checkpoint-1/tokenizer.json"])
    assert chosen == {
        f"checkpoint-1/{CONFIG}": f"1/{CONFIG}",
        f"checkpoint-1/{WEIGHTS}": f"1/{WEIGHTS}",
        "checkpoint-1/tokenizer.json": "1/tokenizer.json",
        f"checkpoint-2/{CONFIG}": f"2/{CONFIG}",
        f"checkpoint-2/{WEIGHTS}": f"2/{WEIGHTS}",
        "checkpoint-2/trainer_state.json": "2/trainer_state.json",
    }


def test_a_tokenizer_beside_them_is_every_ones() -> None:
    names = [*run_of(1, 2, 3), "tokenizer.json"]
    assert choose_run(names)["tokenizer.json"] == "1/tokenizer.json"
    assert share_files(names) == {"1/tokenizer.json": ["2/tokenizer.json", "3/tokenizer.json"]}


def test_a_checkpoint_weighs_the_mean_rate_since_the_one_before() -> None:
    rates = read_rates([log((5, 1.0), (10, 0.5)), log((5, 1.0), (10, 0.5), (20, 0.25), (30, 0.125))])
    assert weigh([10, 20, 30], rates) == [0.75, 0.25, 0.125]


def test_a_stretch_without_a_log_has_the_rate_between() -> None:
    assert weigh([10, 20], {20: 0.2, 40: 0.4}) == [0.2, 0.2]
    assert weigh([20, 40, 60], {20: 0.2, 60: 0.6}) == pytest.approx([0.2, 0.3, 0.6])


def test_a_last_checkpoint_whose_one_log_says_0_keeps_the_weight_of_its_steps() -> None:
    """Logged once an epoch, a rate that falls to 0 is 0 only behind the last step."""
    rates = {10: 0.2, 20: 0.1, 30: 0.0}
    assert weigh([10, 20, 30], rates) == pytest.approx([0.2, 0.1, 0.05])
    assert weigh([10, 20, 30], {10: 0.2, 20: 0.0, 25: 0.0, 30: 0.0}) == [0.2, 0.1, 0.0]


def test_weights_that_the_log_hardly_knows_are_told() -> None:
    (rough,) = find_weight_doubts([10, 20, 30], {10: 0.2, 20: 0.1, 30: 0.0})
    assert "checkpoint 20, 30" in rough
    (cut_off,) = find_weight_doubts([10, 20, 30], {5: 0.2, 10: 0.2})
    assert "ends at step 10" in cut_off
    assert "20, 30" in cut_off
    dense = {step: 0.3 - step / 100 for step in range(0, 31)}
    assert not [*find_weight_doubts([10, 20, 30], dense)]
    assert not [*find_weight_doubts([10, 20], {10: 0.2, 20: 0.2})]
    assert not [*find_weight_doubts([10, 20], {})]


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"[]",
        b'{"log_history": 1}',
        b'{"log_history": [1, {"step": "1", "learning_rate": 1}, {"step": 1, "loss": NaN}]}',
        b'{"log_history": [{"step": 1, "learning_rate": NaN}, {"step": 2, "learning_rate": -1}]}',
        b"[" * 100_000,
        json.dumps({"log_history": [{"step": 1, "learning_rate": 10**400}]}).encode(),
        json.dumps({"log_history": [{"step": 10**400, "learning_rate": 0.1}]}).encode(),
    ],
)
def test_a_log_without_rates_says_nothing(state: bytes) -> None:
    assert weigh([1], read_rates([state])) is None
