"""Kinds of image classifiers are told apart: by their heads, and by what they cannot be trained on or read."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers as hf
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from support.problems import assert_problem
from support.tiny import TinyCheckpoint
from support.trials.bench import WAIT, Bench
from support.uploads.image_models import ARCHITECTURES, LABELS, make_image_classifier, make_processor, shake
from support.uploads.images import make_image_rows

from influence.checkpoint_files.task.image_layers import require_usual_layers
from influence.errors import UnsupportedModule

NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {name: place for place, name in enumerate(LABELS)}}


def send(bench: Bench, model: Any, folder: Path, targets: list[str], heads: list[str]) -> Any:
    """The answer to an adapter on a model, which is saved as its base."""
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=targets, modules_to_save=heads))
    shake(adapted)
    adapted.save_pretrained(folder / "adapter")
    model.config.save_pretrained(folder / "adapter")
    adapted.unload().save_pretrained(folder / "base")
    make_processor("vit").save_pretrained(folder / "base")
    return bench.send_adapter(TinyCheckpoint(folder / "base", folder / "adapter"))


def state_architecture(folder: Path, name: str) -> None:
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stated, "architectures": [name]}))


def test_a_second_head_that_a_teacher_trained_is_refused_as_such(bench: Bench, tmp_path: Path) -> None:
    config, _, _, settings, _ = ARCHITECTURES["deit"]
    model = hf.DeiTForImageClassificationWithTeacher(config(**settings, **NAMES))
    answer = send(bench, model, tmp_path, ["q_proj"], ["cls_classifier", "distillation_classifier"])
    assert "teacher" in assert_problem(answer, 422, "task_mismatch")["detail"]
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "auto_mapping": None}))
    untold = bench.send_adapter(TinyCheckpoint(tmp_path / "base", tmp_path / "adapter"), task="image_classification")
    assert "distillation_classifier" in assert_problem(untold, 422, "task_mismatch")["detail"]
    plain = {"base_model": str(tmp_path / "base"), "trainable": ["cls_classifier"]}
    assert "teacher" in assert_problem(bench.client.post("/v1/checkpoints", json=plain), 422, "task_mismatch")["detail"]


def test_a_base_with_a_teachers_head_is_read_with_the_one_that_the_adapter_was_trained_on(
    bench: Bench, tmp_path: Path
) -> None:
    """Bases are called so by the hundred, and are fine-tuned as the class with one head."""
    tiny = make_image_classifier(tmp_path, "deit")
    state_architecture(tiny.base, "DeiTForImageClassificationWithTeacher")
    index = bench.index(bench.checkpoint(tiny), bench.dataset(make_image_rows(8)))
    assert bench.query(index, examples=make_image_rows(1, seed=5), k=1)["results"][0]["helpful"]


@pytest.mark.parametrize("kind", ["vit", "dinov2", "vit_msn"])
def test_adapters_are_read_on_a_base_that_was_saved_without_its_head(bench: Bench, tmp_path: Path, kind: str) -> None:
    """Names of its layers have nothing before them, as those of vit-base-patch16-224-in21k."""
    tiny = make_image_classifier(tmp_path, kind)
    file = tiny.base / "model.safetensors"
    inner = ARCHITECTURES[kind][1].base_model_prefix + "."
    bare = {name.removeprefix(inner): tensor for name, tensor in load_file(file).items() if "classifier" not in name}
    save_file(bare, file, metadata={"format": "pt"})
    checkpoint = bench.checkpoint(tiny)
    index = bench.index(checkpoint, bench.dataset(make_image_rows(8)))
    assert bench.query(index, examples=make_image_rows(1, seed=5), k=1)["results"][0]["helpful"]


def test_a_kind_without_a_loss_of_labels_is_refused(bench: Bench, tmp_path: Path) -> None:
    model = hf.PPLCNetForImageClassification(hf.PPLCNetConfig(scale=0.25, class_expand=32, **NAMES))
    answer = send(bench, model, tmp_path, ["last_convolution"], ["head"])
    assert "no loss of labels" in assert_problem(answer, 422, "task_mismatch")["detail"]


def test_pixels_that_break_a_model_are_told_and_so_is_a_model_that_breaks_under_its_adapter(
    bench: Bench, tmp_path: Path
) -> None:
    rows = bench.dataset(make_image_rows(4))
    tiny = make_image_classifier(tmp_path / "hiera", "hiera")
    file = tiny.base / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": {"height": 48, "width": 48}}))
    ids = {"checkpoint_id": bench.checkpoint(tiny)["id"], "dataset_id": rows["id"]}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids, headers=WAIT), 422, "task_mismatch")
    assert "48 x 48 pixels" in problem["detail"]
    # transformers itself reads fields of the convolutions that PEFT wraps.
    model = hf.MobileNetV1ForImageClassification(hf.MobileNetV1Config(depth_multiplier=0.25, image_size=16, **NAMES))
    sent = send(bench, model.eval(), tmp_path / "mobile", ["layer.1.convolution"], ["classifier"])
    ids["checkpoint_id"] = sent.json()["id"]
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids, headers=WAIT), 422, "task_mismatch")
    assert "'stride'" in problem["detail"]
    assert "transformers itself" in problem["hint"]


def test_evaluations_of_kinds_without_usual_layers_are_refused_when_they_are_sent(bench: Bench, tmp_path: Path) -> None:
    model = hf.MobileNetV1ForImageClassification(hf.MobileNetV1Config(depth_multiplier=0.25, image_size=16, **NAMES))
    model.save_pretrained(tmp_path / "base")
    make_processor("vit").save_pretrained(tmp_path / "base")
    request = {
        "kind": "mislabelled",
        "base_model": str(tmp_path / "base"),
        "dataset_id": bench.dataset(make_image_rows(24))["id"],
        "flip_share": 0.2,
        "recipe": {"epochs": 1, "batch_rows": 8},
    }
    for path in ("/v1/evaluations", "/v1/evaluations/cost"):
        problem = assert_problem(bench.client.post(path, json=request), 422, "unsupported_module")
        assert problem["model_type"] == "mobilenet_v1"
        assert "--target-modules" in problem["hint"]
        assert "--trainable" in problem["hint"]
    assert bench.evaluate(**request, trainable=["classifier"])["report"]["tables"]
    named = {**request, "lora": {"target_modules": ["pointwise"]}}
    assert bench.client.post("/v1/evaluations/cost", json=named).status_code == 200


@pytest.mark.parametrize("kind", ["imagegpt", "siglip2"])
def test_evaluations_of_kinds_that_are_not_scored_are_refused_when_they_are_sent(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    tiny = make_image_classifier(tmp_path)
    stated = json.loads((tiny.base / "config.json").read_text())
    (tiny.base / "config.json").write_text(json.dumps({**stated, "model_type": kind}))
    request = {
        "kind": "mislabelled",
        "base_model": str(tiny.base),
        "dataset_id": bench.dataset(make_image_rows(24))["id"],
    }
    problem = assert_problem(bench.client.post("/v1/evaluations", json=request), 422, "task_mismatch")
    assert kind in problem["detail"]


def test_usual_layers_are_those_of_every_kind_that_is_tested_and_of_no_other() -> None:
    for kind in ARCHITECTURES:
        assert require_usual_layers(kind)
    with pytest.raises(UnsupportedModule):
        require_usual_layers("mobilenet_v1")


def test_the_second_head_of_a_model_that_labels_train_counts(bench: Bench, tmp_path: Path) -> None:
    """Its logits are the mean of both heads: the loss of a row is of both."""
    tiny = make_image_classifier(tmp_path, "swiftformer")
    checkpoint = bench.checkpoint(tiny)
    assert tuple(checkpoint["label_names"]) == LABELS
    index = bench.index(checkpoint, bench.dataset(make_image_rows(6)), storage="full")
    blocks = [block["name"] for block in index["blocks"]]
    assert {"head.weight", "dist_head.weight"} <= {*blocks}
    weights = load_file(tiny.adapter / "adapter_model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "dist_head" not in name}
    save_file(kept, tiny.adapter / "adapter_model.safetensors")
    assert_problem(bench.send_adapter(tiny), 422, "adapter_mismatch")
