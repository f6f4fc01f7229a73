"""Whether the rows of a step weighed by their tokens, as far as a trainer's files say it."""

from pathlib import Path
from typing import Any

import pytest
from support.uploads.pickled import save

from influence.checkpoint_files.task.trained_as import read_recipe

SFT, DPO = "trl.trainer.sft_config.SFTConfig", "trl.trainer.dpo_config.DPOConfig"
PLAIN = "transformers.training_args.TrainingArguments"
CARD = "---\ntags:\n- {tag}\n---\n# Model\n"
AXOLOTL = CARD.format(tag="axolotl") + "axolotl config\n```yaml\nbase_model: x\nmicro_batch_size: 1\n{more}\n```\n"
BATCH, STEPS = "per_device_train_batch_size", "gradient_accumulation_steps"


def reduction_of(folder: Path) -> str | None:
    record = read_recipe(folder).describe()
    return None if record is None else record.reduction


@pytest.mark.parametrize(
    ("made_of", "fields", "reduction"),
    [
        (SFT, {}, "sum"),
        (SFT, {BATCH: 8, STEPS: 1}, "sum"),
        (SFT, {BATCH: 1, STEPS: 8}, "sum"),
        (SFT, {BATCH: 1, STEPS: 1}, None),
        (PLAIN, {BATCH: 8}, "sum"),
        (PLAIN, {BATCH: 1, STEPS: 1}, None),
        (DPO, {BATCH: 8}, None),
    ],
)
def test_arguments_of_transformers_and_trl(
    tmp_path: Path, made_of: str, fields: dict[str, Any], reduction: str | None
) -> None:
    save(tmp_path, made_of, **fields)
    assert reduction_of(tmp_path) == reduction


@pytest.mark.parametrize(
    ("name", "content", "reduction"),
    [
        ("README.md", CARD.format(tag="trl"), "sum"),
        ("README.md", CARD.format(tag="unsloth"), "sum"),
        ("README.md", CARD.format(tag="cross-encoder"), None),
        ("README.md", AXOLOTL.format(more="gradient_accumulation_steps: 4"), "sum"),
        ("README.md", AXOLOTL.format(more="gradient_accumulation_steps: 1"), None),
        ("training_args.yaml", "stage: sft\nper_device_train_batch_size: 2\n", "sum"),
        ("training_args.yaml", "stage: dpo\nper_device_train_batch_size: 2\n", None),
        ("args.json", '{"loss_scale": "default", "per_device_train_batch_size": 1}', None),
        ("args.json", '{"loss_scale": "default", "per_device_train_batch_size": 4}', "sum"),
        ("training_params.json", '{"trainer": "sft", "block_size": 8, "batch_size": 2}', "sum"),
        ("config.json", '{"label_smoothing": 0.1}', None),
    ],
)
def test_plain_text_of_trainers(tmp_path: Path, name: str, content: str, reduction: str | None) -> None:
    (tmp_path / name).write_text(content)
    assert reduction_of(tmp_path) == reduction


def test_what_is_pickled_has_the_steps_that_a_card_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD.format(tag="trl"))
    save(tmp_path, SFT, **{BATCH: 1, STEPS: 1})
    assert reduction_of(tmp_path) is None
