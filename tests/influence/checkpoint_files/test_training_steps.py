"""The steps of a training as a trainer's files tell them: how rows weighed, how many there were, by what optimiser."""

from enum import StrEnum
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
    save(tmp_path, SFT, per_device_train_batch_size=1, gradient_accumulation_steps=1)
    assert reduction_of(tmp_path) is None


class Optimiser(StrEnum):
    """As transformers keeps the name: a member of an enumeration."""

    SGD = "sgd"
    ADAMW = "adamw_torch_fused"


@pytest.mark.parametrize(
    ("fields", "rows", "optimiser"),
    [
        ({BATCH: 8, STEPS: 2, "optim": Optimiser.SGD}, 16, "sgd"),
        ({BATCH: 8, "optim": Optimiser.ADAMW}, 8, "adamw_torch_fused"),
        ({BATCH: 8, "optim": "adafactor", "packing": True}, None, "adafactor"),
        ({STEPS: 4}, None, None),
        ({BATCH: True, "optim": None}, None, None),
        ({BATCH: 1 << 40, STEPS: 1 << 40}, 1 << 20, None),
    ],
)
def test_rows_and_optimiser_of_pickled_steps(
    tmp_path: Path, fields: dict[str, Any], rows: int | None, optimiser: str | None
) -> None:
    save(tmp_path, PLAIN, **fields)
    record = read_recipe(tmp_path).describe()
    assert record is not None
    assert (record.batch_rows, record.optimizer) == (rows, optimiser)


LISTED = "# Model\n### Training hyperparameters\n{lines}\n### Framework versions\n- Transformers 4.57.1\n"


@pytest.mark.parametrize(
    ("name", "content", "rows", "optimiser"),
    [
        (
            "README.md",
            CARD.format(tag="trl") + LISTED.format(lines="- train_batch_size: 4\n- gradient_accumulation_steps: 2"),
            8,
            None,
        ),
        (
            "README.md",
            CARD.format(tag="trl")
            + LISTED.format(
                lines="- train_batch_size: 4\n- gradient_accumulation_steps: 2\n- total_train_batch_size: 32\n"
                "- optimizer: Use OptimizerNames.ADAMW_TORCH with betas=(0.9,0.999)"
            ),
            32,
            "adamw_torch",
        ),
        (
            "README.md",
            CARD.format(tag="trl") + LISTED.format(lines="- optimizer: Adam with betas=(0.9,0.999)"),
            None,
            "adam",
        ),
        ("README.md", AXOLOTL.format(more="gradient_accumulation_steps: 4\noptimizer: sgd"), 4, "sgd"),
        ("README.md", AXOLOTL.format(more="sample_packing: true\noptimizer: adamw_bnb_8bit"), None, "adamw_bnb_8bit"),
        ("training_args.yaml", "stage: sft\nper_device_train_batch_size: 2\noptim: sgd\n", 2, "sgd"),
        (
            "args.json",
            '{"loss_scale": "default", "per_device_train_batch_size": 4, "optim": "lion_32bit"}',
            4,
            "lion_32bit",
        ),
    ],
)
def test_rows_and_optimiser_of_steps_in_plain_text(
    tmp_path: Path, name: str, content: str, rows: int | None, optimiser: str | None
) -> None:
    (tmp_path / name).write_text(content)
    record = read_recipe(tmp_path).describe()
    assert record is not None
    assert (record.batch_rows, record.optimizer) == (rows, optimiser)
