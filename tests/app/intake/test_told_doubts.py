"""What the files beside a checkpoint say of its training is refused, or told with it, wherever the base lies."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.tiny import TinyCheckpoint, make_causal, make_classifier
from support.uploads.pickled import save

from app.intake.adapter_folder import copy_adapter
from app.intake.adapters import accept_adapter
from app.intake.plain import accept_plain
from influence.checkpoint_files.adapters.folders import choose_files
from influence.checkpoint_files.base_models import BaseModels
from influence.checkpoint_files.config import parse_adapter_config
from influence.checkpoint_files.multimodal import refuse_inexact
from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.checkpoint_files.tensors import AdapterTensors, check_structure
from influence.contracts.checkpoint import BaseModelRef
from influence.errors import AdapterConfigRefused, AdapterMismatch, TaskMismatch

HUB = BaseModelRef(name="owner/tiny", kind="hub", location="owner/tiny", revision="0" * 40)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture
def folder(tiny: TinyCheckpoint, tmp_path: Path) -> Path:
    """A copy of an adapter to which a test may add files."""
    return Path(shutil.copytree(tiny.adapter, tmp_path / "adapter"))


@pytest.fixture
def base(tiny: TinyCheckpoint) -> BaseModelRef:
    return BaseModels(aliases={}, allowed_roots=[tiny.base.parent]).resolve(str(tiny.base))


def change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_alphas_of_which_the_order_decides_are_told(folder: Path, base: BaseModelRef) -> None:
    change(folder / "adapter_config.json", alpha_pattern={"q_proj": 2, "layers.0.self_attn.q_proj": 64})
    (doubt,) = accept_adapter(folder, base).warnings
    assert "alpha_pattern" in doubt
    assert "layers.0.self_attn.q_proj" in doubt
    change(
        folder / "adapter_config.json", alpha_pattern={"layers.0.self_attn.q_proj": 64, "layers.1.self_attn.q_proj": 2}
    )
    assert accept_adapter(folder, base).warnings == ()


def test_a_base_on_the_hub_is_held_against_what_lies_beside(folder: Path, tiny: TinyCheckpoint) -> None:
    config = json.loads((tiny.base / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    with pytest.raises(AdapterMismatch, match="rms_norm_eps"):
        accept_adapter(folder, HUB, hub_config=config)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "training_args.yaml").write_text("stage: sft\nquantization_bit: 4\n")
    assert "in 4 bits" in "".join(accept_adapter(folder, HUB, hub_config=config).warnings)


def test_positions_that_unsloth_stretches_are_told(folder: Path, base: BaseModelRef, tiny: TinyCheckpoint) -> None:
    most = json.loads((tiny.base / "config.json").read_text())["max_position_embeddings"]
    for length, is_told in ((most + 1, True), (most, False)):
        save(folder, "UnslothSFTTrainer.UnslothSFTConfig", max_seq_length=length, max_length=None)
        assert ("Unsloth stretches" in "".join(accept_adapter(folder, base).warnings)) is is_told


def test_what_the_trainer_left_beside_a_plain_model_counts(tiny: TinyCheckpoint, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(tiny.base, tmp_path / "whole"))
    base = BaseModels(aliases={}, allowed_roots=[tmp_path]).resolve(str(whole))
    plain = accept_plain(base, ["*.q_proj"])
    assert (plain.training, plain.warnings) == (None, ())
    change(whole / "config.json", output_router_logits=True, router_aux_loss_coef=0.02)
    assert "router" in "".join(accept_plain(base, ["*.q_proj"]).warnings)
    (whole / "args.json").write_text(json.dumps({"rlhf_type": "kto", "loss_scale": "default"}))
    with pytest.raises(TaskMismatch, match="KTO"):
        accept_plain(base, ["*.q_proj"])
    assert "KTO" in "".join(accept_plain(base, ["*.q_proj"], task="causal_lm").warnings)
    (whole / "args.json").unlink()
    change(whole / "config.json", loss_type="focal")
    with pytest.raises(TaskMismatch, match="focal"):
        accept_plain(base, ["*.q_proj"])


@pytest.mark.parametrize(
    ("kind", "task"),
    [("xlnet", "sequence_classification"), ("xlnet", "causal_lm"), ("fnet", "sequence_classification")]
    + [(kind, "sequence_classification") for kind in ("mobilebert", "convbert", "nystromformer", "funnel", "reformer")]
    + [("big_bird", "token_classification"), ("bigbird_pegasus", "seq2seq_lm")]
    + [(kind, "seq2seq_lm") for kind in ("mbart", "m2m_100", "blenderbot", "prophetnet")],
)
def test_models_whose_loss_of_a_row_is_not_trainings_are_refused(kind: str, task: str) -> None:
    with pytest.raises(TaskMismatch, match=kind):
        refuse_inexact({"model_type": kind}, task)
    refuse_inexact({"model_type": "bart"}, task)
    refuse_inexact({"model_type": "big_bird", "attention_type": "original_full"}, task)
    refuse_inexact({"model_type": "mbart"}, "sequence_classification")


def test_heads_that_peft_lists_by_itself_are_not_missed_beside_a_models_own(tmp_path: Path) -> None:
    made = make_classifier(tmp_path / "classifier")
    fields = json.loads((made.adapter / "adapter_config.json").read_text())
    saved = {**fields, "modules_to_save": ["classification_head", "classifier", "score"]}
    config = parse_adapter_config(json.dumps(saved).encode())
    prefix = "base_model.model.classification_head"
    lora = {f"base_model.model.a.query.lora_{part}.weight": shape for part, shape in (("A", (2, 8)), ("B", (8, 2)))}
    found: AdapterTensors = check_structure(config, names_of({**lora, f"{prefix}.dense.weight": (8, 8)}))
    assert list(found.saved) == ["classification_head.dense.weight"]
    with pytest.raises(AdapterMismatch, match="missing"):
        check_structure(config, names_of(lora))


def names_of(shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """Tensors as a header lists them."""
    return {name: TensorInfo("F32", shape, 0, 0) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"fine_tune_type": "lora", "lora_parameters": {"rank": 8}}, "mlx_lm.fuse"),
        ({"peft_type": "IA3"}, "merge_and_unload"),
    ],
)
def test_an_adapter_of_another_kind_is_told_a_way_on(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(AdapterConfigRefused) as caught:
        parse_adapter_config(json.dumps(fields).encode())
    assert told in caught.value.hint


def test_weights_in_several_files_are_told_how_to_become_one(folder: Path, tmp_path: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model-00001-of-00001.safetensors")
    (tmp_path / "kept").mkdir()
    with pytest.raises(AdapterConfigRefused) as caught:
        copy_adapter(folder, tmp_path / "kept", max_file_bytes=1 << 20)
    assert "max_shard_size" in caught.value.hint


def test_weights_in_several_files_of_another_folder_are_not_an_adapters() -> None:
    assert choose_files(["adapter_config.json", "step/adapter_model-00001-of-00001.safetensors"])
