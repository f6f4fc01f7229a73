"""By which loss an adapter was trained, as its trainer left it in plain text, and what follows for its task."""

import json
from pathlib import Path
from typing import Any

import pytest

from influence.checkpoint_files.adapters.folders import choose_files
from influence.checkpoint_files.adapters.notes.plain_notes import NOTE_FILES
from influence.checkpoint_files.adapters.notes.training_notes import TrainingNotes, read_notes
from influence.checkpoint_files.task.trained_as import find_loss_doubts, read_recipe, settle_task
from influence.contracts.checkpoint import TrainingRecord
from influence.errors import TaskMismatch

CARD = "---\nbase_model: x/y\ntags:\n- base_model:adapter:x/y\n{tags}\n---\n# Model\n- sft\n"
DPO, TEXT = "direct_preference", "causal_lm"


def notes_of(folder: Path, **files: Any) -> TrainingNotes | None:
    names = {
        "parameters": "training_params.json",
        "args": "args.json",
        "card": "README.md",
        "state": "trainer_state.json",
        "settings": "training_args.yaml",
    }
    for key, content in files.items():
        (folder / names[key]).write_text(content if isinstance(content, str) else json.dumps(content))
    return read_notes(folder)


def card(*tags: str) -> str:
    return CARD.format(tags="\n".join(f"- {tag}" for tag in tags))


def axolotl_card(settings: str) -> str:
    return card("axolotl") + f"axolotl config\n```yaml\nbase_model: x\n{settings}\n```\n"


def history(*names: str) -> dict[str, Any]:
    return {"log_history": [{"step": 1, "loss": 0.7}, dict.fromkeys(names, 0.1)]}


@pytest.mark.parametrize(
    ("files", "way"),
    [
        ({"card": card("trl", "sft")}, "sft"),
        ({"card": card("trl", "dpo", "lora")}, "dpo"),
        ({"card": card("sft", "kto")}, "kto"),
        ({"card": card("reward-trainer")}, "reward"),
        ({"card": card("trl", "prm-trainer")}, "prm"),
        ({"parameters": {"trainer": "orpo", "block_size": 512}}, "orpo"),
        ({"parameters": {"trainer": "default", "block_size": 512}}, "pt"),
        ({"args": {"rlhf_type": "orpo"}}, "orpo"),
        ({"args": {"rlhf_type": "rm"}, "card": card("dpo")}, "reward"),
        ({"settings": "stage: kto\npref_beta: 0.1\n"}, "kto"),
        ({"card": card("axolotl") + "axolotl config\n```yaml\nbase_model: x\nrl: kto\nrl_beta: 0.2\n```\n"}, "kto"),
        ({"card": axolotl_card("reward_model: true\nnum_labels: 1")}, "reward"),
        ({"card": axolotl_card("process_reward_model: true")}, "prm"),
        ({"card": "---\nbase_model: x\ntags: [trl, 'KTO']\n---\n"}, "kto"),
        ({"card": card("trl", "sdpo")}, "sdpo"),
        ({"state": history("rewards/chosen", "rewards/rejected", "rewards/margins")}, "pairs"),
        ({"state": history("rewards/chosen", "rewards/rejected", "kl")}, "kto"),
        ({"state": history("log_odds_ratio", "rewards/chosen")}, "orpo"),
        ({"state": history("eval_rewards/chosen", "eval_rewards/rejected")}, "pairs"),
    ],
)
def test_each_trainer_says_the_way_of_training_in_a_file_of_its_own(
    tmp_path: Path, files: dict[str, Any], way: str
) -> None:
    found = notes_of(tmp_path, **files)
    assert found is not None
    assert found.way == way


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"args": {"rlhf_type": None, "loss_type": "x"}},
        {"args": "[1"},
        {"parameters": {"trainer": "dpo"}},
        {"card": "# dpo\n- dpo\n"},
        {"card": card("dpo", "kto")},
        {"state": history("loss", "learning_rate")},
        {"state": {"log_history": [1, None]}},
        {"settings": "model: x\n"},
        {"card": "---\n" + "- dpo\n" * 400_000},
    ],
)
def test_files_that_say_nothing_or_are_broken_change_nothing(tmp_path: Path, files: dict[str, Any]) -> None:
    assert notes_of(tmp_path, **files) is None
    assert settle_task(None, None) is None
    assert settle_task(DPO, None) == DPO


@pytest.mark.parametrize("way", ["kto", "orpo", "simpo", "cpo", "grpo", "bco", "pairs", "some-new-one"])
def test_a_loss_that_is_not_scored_is_refused_by_name_until_the_loss_of_text_is_asked_for(way: str) -> None:
    notes = TrainingNotes("README.md", way)
    with pytest.raises(TaskMismatch, match=r"README\.md") as caught:
        settle_task(None, notes)
    assert f"'{TEXT}'" in caught.value.hint
    assert settle_task(TEXT, notes) == TEXT
    assert way.upper() in "".join(find_loss_doubts(TEXT, notes))


def test_a_way_that_is_scored_is_the_task() -> None:
    assert settle_task(None, TrainingNotes("README.md", "dpo")) == DPO
    assert settle_task(None, TrainingNotes("README.md", "reward")) == "pairwise_reward"
    assert settle_task(None, TrainingNotes("README.md", "sft")) is None
    assert settle_task(DPO, TrainingNotes("trainer_state.json", "pairs")) == DPO


@pytest.mark.parametrize("asked", [None, DPO])
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"loss_type": "ipo"}, "ipo"),
        ({"loss_type": "hinge"}, "hinge"),
        ({"loss_type": ["sigmoid", "sft"]}, "sft"),
        ({"label_smoothing": 0.1}, "label_smoothing 0.1"),
        ({"rpo_alpha": 1.0}, "rpo_alpha"),
        ({"reference_free": True}, "reference_free"),
        ({"sync_ref_model": True}, "sync_ref_model"),
        ({"f_divergence_type": "js_divergence"}, "js_divergence"),
    ],
)
def test_variants_of_a_loss_are_refused_by_name(
    tmp_path: Path, asked: str | None, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(TaskMismatch, match=named):
        settle_task(asked, notes_of(tmp_path, args={"rlhf_type": "dpo", **fields}))


def test_a_variant_of_llama_factory_is_refused_by_name(tmp_path: Path) -> None:
    notes = notes_of(tmp_path, settings="stage: dpo\npref_loss: simpo  # a variant\npref_ftx: 0.0\n")
    with pytest.raises(TaskMismatch, match="simpo"):
        settle_task(None, notes)


def test_the_usual_loss_is_taken_and_its_beta_told(tmp_path: Path) -> None:
    usual = {"loss_type": "sigmoid", "label_smoothing": 0.0, "rpo_alpha": None, "f_divergence_type": "reverse_kl"}
    notes = notes_of(tmp_path, args={"rlhf_type": "dpo", "beta": 0.5, **usual})
    assert settle_task(None, notes) == DPO
    assert list(find_loss_doubts(DPO, notes)) == []
    found = read_recipe(tmp_path)
    assert found.identity() == {"beta": 0.5}
    assert found.describe() == TrainingRecord(files=("args.json",), trainer="ms-swift", way="dpo", beta=0.5)


def test_what_a_card_leaves_open_is_said_with_what_is_taken(tmp_path: Path) -> None:
    (said,) = find_loss_doubts(DPO, notes_of(tmp_path, card=card("trl", "dpo")))
    assert "training_args.bin" in said
    assert "loss_type 'sigmoid'" in said
    (said,) = find_loss_doubts("pairwise_reward", notes_of(tmp_path, card=card("reward-trainer")))
    assert "center_rewards_coefficient" in said


def test_variants_that_axolotl_quotes_in_its_card_are_refused_by_name(tmp_path: Path) -> None:
    quoted = "axolotl config\n```yaml\nrl: dpo\nrl_beta: 0.2\ndpo_label_smoothing: 0.1\n```\n"
    with pytest.raises(TaskMismatch, match=r"label_smoothing 0\.1"):
        settle_task(None, notes_of(tmp_path, card=card("axolotl", "dpo") + quoted))


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"settings": "stage: dpo\nref_model: other/model\n"}, "ref_model 'other/model'"),
        ({"settings": "stage: dpo\npref_bco_weight: 0.5\n"}, "pref_bco_weight"),
        ({"settings": "stage: dpo\nld_alpha: 0.5\n"}, "ld_alpha"),
        ({"args": {"rlhf_type": "dpo", "ref_model": "x/y"}}, "ref_model 'x/y'"),
        ({"args": {"rlhf_type": "dpo", "ref_adapters": ["x"]}}, "ref_adapters"),
        ({"parameters": {"trainer": "dpo", "block_size": 1, "model_ref": "x/y"}}, "model_ref 'x/y'"),
        ({"card": axolotl_card("rl: dpo\ndpo_loss_type: ipo")}, "ipo"),
        ({"card": axolotl_card("rl: dpo\ndpo_use_weighting: true")}, "use_weighting"),
        ({"card": axolotl_card("rl: dpo\ndpo_norm_loss: true")}, "dpo_norm_loss"),
    ],
)
def test_another_reference_or_loss_of_preferences_is_refused_by_name(
    tmp_path: Path, files: dict[str, Any], named: str
) -> None:
    notes = notes_of(tmp_path, **files)
    with pytest.raises(TaskMismatch) as caught:
        settle_task(None, notes)
    assert named in caught.value.detail


def test_a_reference_that_training_on_text_never_asked_is_nothing(tmp_path: Path) -> None:
    assert settle_task(None, notes_of(tmp_path, settings="stage: sft\nref_model: x/y\n")) is None


@pytest.mark.parametrize("name", ["ref", "reference", "ref_model"])
def test_another_reference_than_the_base_is_refused_where_the_loss_has_one(tmp_path: Path, name: str) -> None:
    chosen = choose_files([f"run/{name}/adapter_config.json", "run/adapter_config.json"])
    assert chosen[f"run/{name}/adapter_config.json"] == "reference_adapter_config.json"
    (tmp_path / "reference_adapter_config.json").write_text("{}")
    recipe = read_recipe(tmp_path)
    with pytest.raises(TaskMismatch, match="adapter for reference"):
        recipe.settle_task(DPO)
    assert recipe.settle_task(TEXT) == TEXT
    assert read_recipe(tmp_path / "elsewhere").settle_task(DPO) == DPO


def test_a_task_of_another_loss_than_that_of_training_is_refused() -> None:
    with pytest.raises(TaskMismatch, match=r"KTO.*'direct_preference'"):
        settle_task(DPO, TrainingNotes("args.json", "kto"))
    assert settle_task("sequence_classification", TrainingNotes("args.json", "kto")) == "sequence_classification"


def test_notes_lie_beside_the_adapter_or_around_it() -> None:
    names = ["out/args.json", "out/README.md", *(f"out/checkpoint-3/{name}" for name in ("README.md", "rng_state.pth"))]
    chosen = choose_files([*names, "out/checkpoint-3/adapter_config.json"])
    assert {path for path, name in chosen.items() if name in NOTE_FILES} == {
        "out/args.json",
        "out/checkpoint-3/README.md",
    }


@pytest.mark.parametrize("factor", [0, -1, 1e9, float("nan"), 10**400])
def test_factors_that_no_loss_can_have_are_refused_by_name(tmp_path: Path, factor: float) -> None:
    notes = notes_of(tmp_path, args={"rlhf_type": "dpo", "beta": factor})
    with pytest.raises(TaskMismatch, match="had beta"):
        settle_task(None, notes)


@pytest.mark.parametrize(
    "files",
    [
        {"args": {"rlhf_type": "rm", "center_rewards_coefficient": 0.01}},
        {"card": "axolotl\n```yaml\nreward_model: true\ncenter_rewards_coefficient: 0.01\n```"},
    ],
)
def test_what_kept_rewards_near_zero_is_followed(tmp_path: Path, files: dict[str, Any]) -> None:
    notes_of(tmp_path, **files)
    recipe = read_recipe(tmp_path)
    assert recipe.settle_task(None) == "pairwise_reward"
    assert recipe.identity()["center_rewards_coefficient"] == 0.01


def test_hints_on_a_heads_loss_do_not_lead_to_the_loss_of_text(tmp_path: Path) -> None:
    notes = notes_of(tmp_path, args={"rlhf_type": "rm", "center_rewards_coefficient": -1})
    for asked in (None, "pairwise_reward"):
        with pytest.raises(TaskMismatch) as refused:
            settle_task(asked, notes)
        assert "causal_lm" not in refused.value.hint


@pytest.mark.parametrize("name", ["label_smoothing_factor", "neftune_noise_alpha", "moe_aux_loss_coef"])
def test_numbers_beyond_all_bounds_are_told_all_the_same(tmp_path: Path, name: str) -> None:
    notes_of(tmp_path, args={"loss_scale": "default", name: 10**400})
    said = read_recipe(tmp_path).find_doubts("causal_lm")
    assert any(f"{name} beyond all bounds" in sentence for sentence in said)
