"""The words of a trainer's pickled arguments: listed, never loaded."""

import os
from pathlib import Path
from typing import Any

import pytest
from support.uploads.pickled import save

from influence.checkpoint_files.adapters.notes.pickled_arguments import PICKLED, read_pickled
from influence.checkpoint_files.adapters.notes.pickled_words import list_words
from influence.checkpoint_files.adapters.notes.training_settings import TrainingSettings, read_training
from influence.checkpoint_files.task.trained_as import read_recipe
from influence.contracts.common import MAX_ROW_TOKENS
from influence.errors import TaskMismatch


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


TRL, DPO, REWARD = (
    f"trl.trainer.{name}" for name in ("sft_config.SFTConfig", "dpo_config.DPOConfig", "reward_config.RewardConfig")
)
PLAIN, UNSLOTH = "transformers.training_args.TrainingArguments", "UnslothSFTTrainer.UnslothSFTConfig"


def test_names_are_listed_with_the_single_values_that_follow_them(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "text": "t",
        "again": "t",
        "whole": 70000,
        "half": 0.5,
        "true": True,
        "none": None,
        "empty": [],
        "listed": ["sigmoid", "ipo"],
        "one": ["sigmoid"],
        "nested": {"inner": 3},
        "large": 1 << 70,
    }
    words = list_words(save(tmp_path, TRL, **fields))
    assert words is not None
    assert words.made_of == TRL
    plain = {name: value for name, value in fields.items() if name not in ("empty", "nested", "large")}
    assert {name: words.fields.get(name) for name in plain} == plain
    assert words.fields["inner"] == 3
    assert words.fields.keys().isdisjoint({"empty", "nested"})


def test_nothing_is_run_and_nothing_broken_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = save(tmp_path, TRL, bomb=Bomb(), packing=True)
    words = list_words(file)
    assert words is not None
    assert words.fields["packing"] is True
    assert not (tmp_path / "exploded").exists()
    whole = file.read_bytes()
    for broken in (b"", b"\x80\x04broken", whole[:-30], whole.replace(b"\x80\x02", b"\xff\xff")):
        file.write_bytes(broken)
        assert list_words(file) is None
    assert list_words(save(tmp_path, TRL, padding="x" * (300 << 10))) is None
    assert list_words(save(tmp_path, TRL, inside="other.txt")) is None
    assert list_words(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("made_of", "fields", "trainer", "loss", "completion_loss", "max_length"),
    [
        (TRL, {"max_length": 512}, "TRL", "all", "completion", 512),
        (TRL, {"max_seq_length": 512}, "TRL", "all", "completion", 512),
        (TRL, {"max_length": 1024, "max_seq_length": 256}, "TRL", "all", "completion", 256),
        (TRL, {"max_length": 1024, "max_seq_length": None}, "TRL", "all", "completion", 1024),
        (TRL, {"max_length": None}, "TRL", "all", "completion", MAX_ROW_TOKENS),
        (TRL, {"max_seq_length": None}, "TRL", "all", "completion", None),
        (UNSLOTH, {"max_length": 1024, "max_seq_length": 256}, "Unsloth", None, "completion", 256),
        # Its model's, which no file says.
        (UNSLOTH, {"max_length": 1024, "max_seq_length": None}, "Unsloth", None, "completion", None),
        (UNSLOTH, {"max_length": None}, "Unsloth", None, "completion", None),
        (TRL, {"assistant_only_loss": True}, "TRL", "assistant", "completion", None),
        (TRL, {"completion_only_loss": False}, "TRL", "all", "all", None),
        (TRL, {"completion_only_loss": True}, "TRL", None, "completion", None),
        ("__main__.MyConfig", {"dataset_text_field": "text", "max_length": 512}, "TRL", "all", "completion", 512),
        # Whether train_on_responses_only was called is in no file.
        (UNSLOTH, {"assistant_only_loss": False}, "Unsloth", None, "completion", None),
    ],
)
def test_where_the_loss_fell_is_read(
    tmp_path: Path,
    made_of: str,
    fields: dict[str, Any],
    trainer: str,
    loss: str | None,
    completion_loss: str,
    max_length: int | None,
) -> None:
    save(tmp_path, made_of, **fields)
    found = read_training(tmp_path)
    assert found is not None
    assert (found.trainer, found.loss, found.completion_loss, found.max_length) == (
        trainer,
        loss,
        completion_loss,
        max_length,
    )


@pytest.mark.parametrize(
    ("made_of", "fields", "named"),
    [
        (PLAIN, {"label_smoothing_factor": 0.1}, "label_smoothing_factor 0.1"),
        (TRL, {"label_smoothing_factor": 0.1}, "label_smoothing_factor 0.1"),
        (TRL, {"loss_type": "dft"}, "loss_type 'dft'"),
        (TRL, {"router_aux_loss_coef": 0.01}, "router_aux_loss_coef 0.01"),
        (DPO, {"loss_type": ["sigmoid", "bco_pair"]}, "bco_pair"),
        (DPO, {"loss_type": "hinge"}, "hinge"),
        (DPO, {"loss_type": ["sigmoid"], "label_smoothing": 0.1}, "label_smoothing 0.1"),
        (REWARD, {"center_rewards_coefficient": -0.01}, "center_rewards_coefficient -0.01"),
        (DPO, {"beta": 0.0}, "beta 0.0"),
        ("trl.trainer.kto_config.KTOConfig", {}, "KTO"),
        ("trl.experimental.new.NewConfig", {}, "NEW"),
        ("__main__.MyConfig", {"f_divergence_type": "reverse_kl", "loss_type": "ipo"}, "ipo"),
    ],
)
def test_another_loss_is_refused_by_name(tmp_path: Path, made_of: str, fields: dict[str, Any], named: str) -> None:
    save(tmp_path, made_of, **fields)
    with pytest.raises(TaskMismatch, match=named):
        read_recipe(tmp_path).settle_task(None)


@pytest.mark.parametrize(
    ("made_of", "fields", "named"),
    [
        (PLAIN, {"neftune_noise_alpha": 5}, "neftune_noise_alpha 5"),
        (TRL, {"packing": True, "packing_strategy": "wrapped"}, "cuts rows where a sequence is full"),
        (TRL, {"packing": True, "packing_strategy": "bfd"}, "unless FlashAttention"),
        (TRL, {"padding_free": True}, "padding_free"),
        (TRL, {"eos_token": "<|im_end|>"}, "eos_token '<|im_end|>'"),
        (TRL, {"chat_template_path": "a/b"}, "chat_template_path 'a/b'"),
        (TRL, {"dataset_kwargs": {"skip_prepare_dataset": True}}, "the script itself made tokens"),
        (TRL, {"max_length": 32, "truncation_mode": "keep_end"}, "lost their beginning"),
        (DPO, {"max_prompt_length": 512}, "max_prompt_length 512"),
        (DPO, {"max_completion_length": 128}, "max_completion_length 128"),
        (REWARD, {"max_length": 1024}, "left out pairs"),
    ],
)
def test_what_was_done_to_rows_is_said(tmp_path: Path, made_of: str, fields: dict[str, Any], named: str) -> None:
    save(tmp_path, made_of, **fields)
    recipe = read_recipe(tmp_path)
    task = recipe.settle_task({DPO: "direct_preference", REWARD: "pairwise_reward"}.get(made_of, "causal_lm"))
    assert task is not None
    assert named in "".join(recipe.find_doubts(task))


def test_rows_that_a_script_tokenised_itself_end_as_they_do_here(tmp_path: Path) -> None:
    save(tmp_path, TRL, eos_token=None, dataset_kwargs={"skip_prepare_dataset": True})
    found = read_training(tmp_path)
    assert found is not None
    assert found.ends is None
    save(tmp_path, TRL, eos_token=None)
    found = read_training(tmp_path)
    assert found is not None
    assert found.ends == "in_words"


def test_plain_text_goes_before_the_pickle(tmp_path: Path) -> None:
    save(tmp_path, TRL, assistant_only_loss=True, max_length=64, neftune_noise_alpha=5)
    (tmp_path / "README.md").write_text("---\ntags:\n- trl\n- sft\n- unsloth\n---\n")
    found = read_training(tmp_path)
    assert found is not None
    assert (found.files, found.trainer, found.loss, found.max_length) == (
        ("README.md", PICKLED),
        "Unsloth",
        None,
        64,
    )
    (tmp_path / "training_args.yaml").write_text("stage: sft\ncutoff_len: 128\ntemplate: qwen\n")
    other = read_training(tmp_path)
    assert other is not None
    assert (other.trainer, other.loss, other.max_length) == ("LLaMA-Factory", "assistant", 128)
    assert "neftune_noise_alpha 5" in "".join(other.beside)


def test_arguments_of_no_trainer_say_nothing(tmp_path: Path) -> None:
    save(tmp_path, PLAIN, label_smoothing_factor=0.0, packing=True)
    found = read_training(tmp_path)
    # Of whatever `Trainer` they are, a step's loss is divided by its tokens where it falls on tokens.
    assert found == TrainingSettings(files=(PICKLED,), reduction="sum")
    save(tmp_path, "other.Thing", protocol=4)
    assert read_pickled(tmp_path) is None
