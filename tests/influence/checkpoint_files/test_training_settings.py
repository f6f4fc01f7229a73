"""Settings of training that change a row's loss, as trainers leave them in plain text: taken, said or refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from influence.checkpoint_files.adapters.notes.training_settings import TrainingSettings, read_training
from influence.checkpoint_files.task.trained_as import read_recipe
from influence.contracts.common import MAX_ROW_TOKENS
from influence.errors import TaskMismatch

SWIFT: dict[str, Any] = {"rlhf_type": None, "loss_scale": "default", "loss_type": None, "max_length": 2048}
THINKING: dict[str, Any] = {"template": "qwen3", "add_non_thinking_prefix": True}
SWIFT |= {"label_smoothing_factor": 0.0, "neftune_noise_alpha": None, "router_aux_loss_coef": 0.0, "packing": False}
FACTORY = "stage: sft\ntemplate: llama3\ncutoff_len: 1024\n"
AXOLOTL = "base_model: x/y\ndatasets:\n  - path: z\n    train_on_inputs: true\nsequence_len: 4096\n"
CARD = "---\nlibrary_name: peft\ntags:\n- {tag}\n---\n# A model\n{body}"


def axolotl(settings: str) -> str:
    return CARD.format(tag="axolotl", body=f"axolotl version: `0.9`\n```yaml\n{AXOLOTL}{settings}\n```\n- adam")


def hyperparameters(*lines: str, tag: str = "generated_from_trainer") -> str:
    listed = "\n".join(f"- {line}" for line in ("learning_rate: 0.0002", *lines))
    return CARD.format(tag=tag, body=f"### Training hyperparameters\n\nThe following:\n{listed}\n")


#: AutoTrain's of other models than decoders.
AUTOTRAIN = {"project_name": "p", "max_seq_length": 128}


def cross_encoder(loss: str) -> str:
    return CARD.format(tag=f"cross-encoder\n- loss:{loss}", body="")


def found_in(folder: Path, name: str, content: str | dict[str, Any]) -> TrainingSettings:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    found = read_training(folder)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "content", "loss", "max_length"),
    [
        ("args.json", SWIFT, "assistant", 2048),
        ("args.json", {**SWIFT, "loss_scale": "last_round"}, "completion", 2048),
        ("args.json", {**SWIFT, "loss_scale": "all", "max_length": None}, "all", MAX_ROW_TOKENS),
        ("args.json", {**SWIFT, "max_length": 1 << 30}, "assistant", MAX_ROW_TOKENS),
        ("args.json", {name: value for name, value in SWIFT.items() if name != "max_length"}, "assistant", None),
        ("training_params.json", {"trainer": "sft", "block_size": -1}, "all", None),
        ("args.json", {**SWIFT, **THINKING, "loss_scale": "default+ignore_empty_think"}, "assistant", 2048),
        ("args.json", {**SWIFT, **THINKING, "loss_scale": "ignore_empty_think"}, "assistant", 2048),
        ("args.json", {**SWIFT, **THINKING, "loss_scale": "last_round+ignore_empty_think"}, "completion", 2048),
        ("args.json", {**SWIFT, **THINKING, "loss_scale": "all+ignore_empty_think"}, "all", 2048),
        ("args.json", {**SWIFT, **THINKING, "loss_scale": "ignore_empty_think+ignore_think_prefix"}, "assistant", 2048),
        ("args.json", {**SWIFT, "template": "qwen2_5", "loss_scale": "ignore_empty_think"}, "assistant", 2048),
        (
            "args.json",
            {**SWIFT, "template": "llama3", "loss_scale": "last_round_with_ignore_empty_think"},
            "completion",
            2048,
        ),
        ("args.json", {**SWIFT, "loss_scale": "default+base"}, "assistant", 2048),
        ("training_args.yaml", FACTORY, "assistant", 1024),
        ("training_args.yaml", FACTORY + "mask_history: true\n", "completion", 1024),
        ("training_args.yaml", FACTORY + "train_on_prompt: true\n", "all", 1024),
        ("training_args.yaml", "stage: pt\n", "all", None),
        ("training_params.json", {"trainer": "sft", "block_size": 512}, "all", 512),
        ("training_params.json", {"trainer": "dpo", "block_size": 512}, None, 512),
        ("training_params.json", {"project_name": "p", "max_seq_length": 128}, None, 128),
        ("training_params.json", {"project_name": "p", "max_seq_length": 128, "tags_column": "tags"}, "all", 128),
        ("README.md", axolotl(""), None, 4096),
        ("README.md", axolotl("train_on_inputs: false"), "assistant", 4096),
        ("README.md", axolotl("train_on_inputs: true  # all"), "all", 4096),
        ("README.md", hyperparameters(tag="trl"), None, None),
        ("README.md", cross_encoder("MSELoss"), None, None),
    ],
)
def test_where_the_loss_fell_and_rows_were_cut_is_read(
    tmp_path: Path, name: str, content: str | dict[str, Any], loss: str | None, max_length: int | None
) -> None:
    found = found_in(tmp_path, name, content)
    assert (found.loss, found.max_length, found.unscored) == (loss, max_length, ())
    is_told = found.trainer in ("Axolotl", "LLaMA-Factory") and max_length is not None
    assert ["longer rows" in what for what in found.beside] == [True] * is_told
    assert found.trainer


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("args.json", {**SWIFT, "label_smoothing_factor": 0.1}, "label_smoothing_factor 0.1"),
        ("args.json", {**SWIFT, "loss_scale": "react"}, "loss_scale 'react'"),
        ("args.json", {**SWIFT, "loss_scale": "default+hermes"}, "loss_scale 'default+hermes'"),
        # What became of thoughts is not known of this template, or of this version, or cannot be followed.
        (
            "args.json",
            {**SWIFT, "template": "glm4_5", "loss_scale": "default+ignore_empty_think"},
            "ignore_empty_think",
        ),
        ("args.json", {**SWIFT, "template": "qwen3", "loss_scale": "default+ignore_empty_think"}, "ignore_empty_think"),
        ("args.json", {**SWIFT, "loss_scale": "last_round_with_ignore_empty_think"}, "ignore_empty_think"),
        # Each part reads what those before it left, so that another order mutes other words.
        (
            "args.json",
            {**SWIFT, **THINKING, "loss_scale": "ignore_think_prefix+ignore_empty_think"},
            "ignore_think_prefix",
        ),
        ("args.json", {**SWIFT, **THINKING, "loss_scale": "last_round+agentflan"}, "agentflan"),
        ("args.json", {**SWIFT, **THINKING, "loss_scale": "hermes+ignore_empty_think"}, "hermes"),
        ("args.json", {**SWIFT, "loss_type": "focal"}, "loss_type 'focal'"),
        ("args.json", {**SWIFT, "enable_dft_loss": True}, "enable_dft_loss"),
        ("args.json", {**SWIFT, "router_aux_loss_coef": 0.01}, "router_aux_loss_coef 0.01"),
        ("training_args.yaml", FACTORY + "use_dft_loss: true\n", "use_dft_loss"),
        ("training_args.yaml", FACTORY + "use_asft_loss: true\n", "use_asft_loss"),
        ("args.json", {**SWIFT, "task_type": "embedding"}, "task_type 'embedding'"),
        ("args.json", {**SWIFT, "task_type": "generative_reranker"}, "generative_reranker"),
        ("training_args.yaml", FACTORY + "moe_aux_loss_coef: 0.001\n", "moe_aux_loss_coef"),
        ("README.md", axolotl("use_eaft: true"), "use_eaft"),
        ("README.md", axolotl("label_smoothing_factor: 0.2"), "label_smoothing_factor 0.2"),
        ("README.md", hyperparameters("label_smoothing_factor: 0.1"), "label_smoothing_factor 0.1"),
        ("README.md", cross_encoder("BinaryCrossEntropyLoss"), "multi_label_classification"),
        ("README.md", cross_encoder("LambdaLoss"), "lambdaloss"),
        ("config.json", {"class_weights": [1.0, 2.0]}, "class_weights"),
        ("config.json", {"use_focal_loss": True, "loss_type": "ForSequenceClassification"}, "use_focal_loss"),
        ("config.json", {"loss_type": "focal"}, "loss_type 'focal'"),
    ],
)
def test_a_part_of_the_loss_that_is_not_scored_is_refused_until_the_task_is_asked_for(
    tmp_path: Path, name: str, content: str | dict[str, Any], named: str
) -> None:
    found_in(tmp_path, name, content)
    recipe = read_recipe(tmp_path)
    with pytest.raises(TaskMismatch) as caught:
        recipe.settle_task(None)
    assert name in caught.value.detail
    assert named in caught.value.detail
    assert "'task'" in caught.value.hint
    assert recipe.settle_task("causal_lm") == "causal_lm"
    assert named in "".join(recipe.find_doubts("causal_lm"))


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("args.json", {**SWIFT, "neftune_noise_alpha": 5}, "neftune_noise_alpha 5"),
        ("args.json", {**SWIFT, "truncation_strategy": "delete"}, "rows longer than max_length were left out"),
        ("args.json", {**SWIFT, "truncation_strategy": "left"}, "lost their beginning"),
        ("args.json", {**SWIFT, "truncation_strategy": "split"}, "became several"),
        ("training_args.yaml", FACTORY, "each by its share"),
        ("training_args.yaml", FACTORY + "rope_scaling: linear\n", "rope_scaling 'linear'"),
        ("training_args.yaml", FACTORY + "shift_attn: true\n", "shift_attn"),
        ("args.json", {**SWIFT, "rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_scaling {'type': 'yarn'"),
        ("README.md", axolotl("overrides_of_model_config:\n  rope_scaling:\n    type: linear"), "overrides_of_model"),
        ("README.md", axolotl("s2_attention: true"), "s2_attention"),
        ("training_args.yaml", FACTORY + "packing: true\n", "packing"),
        ("README.md", axolotl("train_on_inputs: false"), "left longer rows out"),
        ("README.md", axolotl("excess_length_strategy: drop"), "left longer rows out"),
        ("README.md", axolotl("neftune_noise_alpha: 5"), "neftune_noise_alpha 5"),
        ("README.md", axolotl('datasets:\n  - roles_to_train: ["user", "assistant"]  # both'), "roles_to_train"),
        ("README.md", axolotl("datasets:\n  - path: x\n    roles_to_train:\n      - human\n      - gpt"), "human, gpt"),
        ("README.md", axolotl("datasets:\n  - path: x\n    train_on_eos: all"), "train_on_eos all"),
        ("training_args.yaml", FACTORY + "adapter_name_or_path: sft\ncreate_new_adapter: true\n", "'sft' was merged"),
    ],
)
def test_what_training_did_to_rows_beside_the_loss_is_said(
    tmp_path: Path, name: str, content: str | dict[str, Any], named: str
) -> None:
    found_in(tmp_path, name, content)
    recipe = read_recipe(tmp_path)
    assert recipe.settle_task(None) is None
    assert named in "".join(recipe.find_doubts("causal_lm"))


@pytest.mark.parametrize(
    ("name", "content", "bits"),
    [
        ("args.json", {**SWIFT, "quant_bits": 4}, 4),
        ("args.json", {**SWIFT, "quant_bits": None}, None),
        ("training_args.yaml", FACTORY + "quantization_bit: 8\n", 8),
        ("README.md", axolotl("load_in_4bit: true"), 4),
        ("README.md", axolotl("adapter: qlora"), 4),
        ("README.md", axolotl("load_in_8bit: false"), None),
        ("training_params.json", {"block_size": 1, "trainer": "sft", "quantization": "int4"}, 4),
        ("training_params.json", {**AUTOTRAIN, "quantization": "int8", "peft": True}, 8),
        ("training_params.json", {**AUTOTRAIN, "quantization": "int8", "peft": False}, None),
    ],
)
def test_in_how_many_bits_a_trainer_read_the_base_is_known(
    tmp_path: Path, name: str, content: str | dict[str, Any], bits: int | None
) -> None:
    found_in(tmp_path, name, content)
    assert read_recipe(tmp_path).bits == bits


@pytest.mark.parametrize(("most", "is_told"), [(64, True), (128, False)])
def test_answers_that_were_cut_shorter_than_what_was_read_are_told(tmp_path: Path, most: int, is_told: bool) -> None:
    found_in(tmp_path, "training_params.json", {**AUTOTRAIN, "max_target_length": most})
    said = "".join(read_recipe(tmp_path).find_doubts("seq2seq_lm"))
    assert (f"max_target_length {most}" in said) == is_told


def test_a_change_of_the_model_is_told_once(tmp_path: Path) -> None:
    found_in(tmp_path, "README.md", axolotl("rope_scaling: linear"))
    assert "".join(read_recipe(tmp_path).find_doubts("causal_lm")).count("rope_scaling") == 1


def test_texts_that_ms_swift_wrote_as_turns_for_a_head_are_told(tmp_path: Path) -> None:
    found_in(
        tmp_path, "args.json", {**SWIFT, "task_type": "seq_cls", "template": "qwen2_5", "problem_type": "regression"}
    )
    recipe = read_recipe(tmp_path)
    assert recipe.problem_type == "regression"
    assert "template 'qwen2_5'" in "".join(recipe.find_doubts("sequence_classification"))
    found_in(tmp_path, "args.json", {**SWIFT, "template": "qwen2_5", "use_chat_template": False})
    assert "qwen2_5" not in "".join(read_recipe(tmp_path).find_doubts("sequence_classification"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("args.json", "[1"),
        ("config.json", "[1"),
        ("config.json", {"loss_type": "ForCausalLMLoss", "class_weights": None, "label_smoothing": 0.0}),
        ("args.json", {"model_type": "x", "label_smoothing_factor": 0.1}),
        ("training_args.yaml", "model: x\nlabel_smoothing_factor: 0.1\n"),
        ("README.md", "# label_smoothing_factor: 0.1\n- label_smoothing_factor: 0.1\n"),
        ("README.md", CARD.format(tag="lora", body="```yaml\ntrain_on_inputs: true\n```")),
        ("README.md", hyperparameters()),
    ],
)
def test_files_of_other_tools_and_broken_ones_say_nothing(
    tmp_path: Path, name: str, content: str | dict[str, Any]
) -> None:
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    assert read_training(tmp_path) is None
    assert read_recipe(tmp_path).describe() is None
    assert read_recipe(tmp_path).identity() == {}


def test_packing_that_keeps_rows_apart_says_nothing(tmp_path: Path) -> None:
    said = found_in(tmp_path, "training_args.yaml", FACTORY + "packing: true\nneat_packing: true\n").beside
    assert "packing" not in "".join(said)


def test_a_loss_that_the_task_has_is_not_said_to_be_left_out(tmp_path: Path) -> None:
    found_in(tmp_path, "README.md", cross_encoder("BinaryCrossEntropyLoss"))
    recipe = read_recipe(tmp_path)
    assert recipe.settle_task("multi_label_classification") == "multi_label_classification"
    assert list(recipe.find_doubts("multi_label_classification")) == []
    assert "binarycrossentropyloss" in "".join(recipe.find_doubts("sequence_classification"))


def test_masks_of_axolotl_that_are_as_here_say_nothing(tmp_path: Path) -> None:
    usual = "datasets:\n  - path: x\n    roles_to_train: [assistant]\n    train_on_eos: turn\n    roles: x\n"
    usual += "excess_length_strategy: truncate"
    assert found_in(tmp_path, "README.md", axolotl(usual)).beside == ()


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid", "id2label": {"0": "a"}}, True),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}, "num_labels": 1}, True),
        ({"sentence_transformers": {"activation_fn": "x"}, "id2label": {"0": "a", "1": "b"}}, False),
        ({"sentence_transformers": {"version": "5"}, "id2label": {"0": "a"}}, False),
        ({"id2label": {"0": "a"}}, False),
    ],
)
def test_a_cross_encoder_whose_loss_no_file_names_is_no_regression_by_itself(
    tmp_path: Path, fields: dict[str, Any], is_told: bool
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(fields))
    recipe = read_recipe(tmp_path)
    if not is_told:
        assert recipe.settle_task(None) is None
        return
    with pytest.raises(TaskMismatch, match=r"BinaryCrossEntropyLoss .*'multi_label_classification'"):
        recipe.settle_task(None)
    assert [*recipe.find_doubts("multi_label_classification")] == []
    (said,) = recipe.find_doubts("regression")
    assert "scores are of the loss without" in said


def test_a_card_that_names_the_loss_of_a_cross_encoder_decides(tmp_path: Path) -> None:
    fields = {"sentence_transformers": {"activation_fn": "x"}, "num_labels": 1}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    (tmp_path / "README.md").write_text(cross_encoder("MSELoss"))
    assert read_recipe(tmp_path).settle_task(None) is None
