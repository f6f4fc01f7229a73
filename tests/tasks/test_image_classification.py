"""Image classification: from the upload of images to gradients, scores, audits and evaluations."""

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.trials.bench import WAIT, Bench, open_bench
from support.uploads.image_models import (
    ARCHITECTURES,
    LABELS,
    SIDE,
    make_image_classifier,
    make_processor,
    write_former,
)
from support.uploads.images import as_base64, draw_image, make_image_rows, make_image_zip

from influence.checkpoint_files.adapters.former_names import LayerNames
from influence.checkpoint_files.multimodal import EXACT_FOR_IMAGES, refuse_inexact
from influence.checkpoint_files.task.processor import check_processor
from influence.contracts.index import GradientSettings
from influence.errors import TaskMismatch
from influence.rows.images.content import describe_image
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions

ROWS = 18
#: Gradients that cancel nearly wholly in a normalisation: plain autograd in float32 is off by 2e-4 of the largest, too.
ROUNDING = {"bit": 1e-3, "mobilevit": 1e-3}


def load(bench: Bench, folder: Path, checkpoint: dict[str, Any]) -> LoadedCheckpoint:
    files = Files(folder / "data")
    return load_checkpoint(
        bench.store.checkpoints.require(checkpoint["id"]),
        files.adapter(checkpoint["adapter_digest"]),
        GradientSettings(),
        LoadOptions(cache_dir=folder, images=files.images),
    )


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES.keys() - {"regnet"}))
def test_scores_over_http_are_those_of_one_row_at_a_time(bench: Bench, tmp_path: Path, kind: str) -> None:
    checkpoint = bench.checkpoint(make_image_classifier(tmp_path / "tiny", kind))
    assert (checkpoint["task"], tuple(checkpoint["label_names"])) == ("image_classification", LABELS)
    index = bench.index(checkpoint, bench.dataset(make_image_rows(ROWS)), storage="full")
    asked = make_image_rows(2, seed=7)
    query = bench.query(index, examples=asked, k=3)
    found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
    loaded = load(bench, tmp_path, checkpoint)
    rows = [bench.get(f"/v1/datasets/{index['spec']['dataset_id']}/rows?offset={row}&length=1") for row in range(ROWS)]
    stored = [{"id": row["data"][0]["row_id"], **row["data"][0]["row"]} for row in rows]
    truth = dense_datainf(loop_gradients(loaded, query["request"]["examples"]), loop_gradients(loaded, stored))
    np.testing.assert_allclose(found, truth, atol=ROUNDING.get(kind, 1e-4) * np.abs(truth).max())


def test_pixels_are_those_of_the_models_own_processor(bench: Bench, tmp_path: Path) -> None:
    loaded = load(bench, tmp_path, bench.checkpoint(make_image_classifier(tmp_path / "tiny", "convnext")))
    image = draw_image(3, (40, 25))
    row = {"id": "a", "label": 0, "image": {"png": as_base64(image), **describe_image(image)}}
    batch = loaded.task.collate(loaded.task.tokenise([row]))
    expected = make_processor("convnext")(images=image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(batch.inputs["pixel_values"], expected)


@pytest.fixture
def index(bench: Bench, tmp_path: Path) -> dict[str, Any]:
    checkpoint = bench.checkpoint(make_image_classifier(tmp_path / "tiny"))
    return bench.index(checkpoint, bench.dataset(make_image_rows(ROWS)))


def test_a_query_by_an_image_answers_with_it_and_with_the_rows_that_taught(bench: Bench, index: dict[str, Any]) -> None:
    query = bench.query(index, examples=[{"image": as_base64(draw_image(9))}], target="prediction", k=2)
    (result,) = query["results"]
    assert result["predicted_label"] in LABELS
    assert result["example"]["label"] == result["predicted_label"]
    shown = Image.open(io.BytesIO(base64.b64decode(result["example"]["image"]["png"])))
    assert shown.tobytes() == draw_image(9).tobytes()
    assert result["helpful"][0]["row"]["image"].keys() == {"digest", "width", "height"}
    by_rows = bench.query(index, rows={"dataset_id": index["spec"]["dataset_id"], "row_indexes": [0]}, k=2)
    assert by_rows["results"][0]["helpful"]


def test_a_preview_shows_what_the_model_sees(bench: Bench, tmp_path: Path) -> None:
    checkpoint = bench.checkpoint(make_image_classifier(tmp_path / "tiny"))
    image = draw_image(1, (40, 20))
    dataset = bench.dataset([{"image": as_base64(image), "label": "red"}])
    (row,) = bench.preview(checkpoint, dataset)
    assert row["rendered"].startswith("16 x 16 pixels: resized to height 16, width 16, ")
    shown = Image.open(io.BytesIO(base64.b64decode(row["image"]["png"])))
    expected = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(np.asarray(shown, dtype=int) - expected).max() <= 1


def test_pixels_that_the_model_does_not_take_are_told(bench: Bench, tmp_path: Path) -> None:
    tiny = make_image_classifier(tmp_path / "tiny")
    file = tiny.base / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": {"height": 32, "width": 32}}))
    ids = {"checkpoint_id": bench.checkpoint(tiny)["id"], "dataset_id": bench.dataset(make_image_rows(ROWS))["id"]}
    answer = bench.client.post("/v1/indexes", json=ids, headers=WAIT)
    problem = assert_problem(answer, 422, "task_mismatch")
    assert "32 x 32 pixels" in problem["detail"]


def test_an_audit_of_images_finds_labels_suspect(bench: Bench, index: dict[str, Any]) -> None:
    audit = bench.audit(index)
    assert {"loss", "self_influence"} < {signal["name"] for signal in audit["signals"]}
    page = bench.get(f"/v1/audits/{audit['id']}/rows")
    assert page["data"][0]["row"]["image"]["width"] == SIDE
    trusted = {"dataset_id": index["spec"]["dataset_id"], "row_indexes": [0, 1, 2]}
    assert len(bench.groups(index, by="label", evaluation=trusted)["groups"]) == len(LABELS)


def test_labels_are_checked_when_an_index_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    checkpoint = bench.checkpoint(make_image_classifier(tmp_path / "tiny"))
    other = bench.dataset([{**row, "label": "purple"} for row in make_image_rows(2)])
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": other["id"]}
    assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "label_unknown")
    texts = bench.dataset([{"text": "a", "label": "red"}, {"text": "b", "label": "blue"}])
    problem = assert_problem(
        bench.client.post("/v1/indexes", json={**ids, "dataset_id": texts["id"]}), 422, "rows_unfit"
    )
    assert "image + label" in problem["hint"]
    scoped = {**ids, "dataset_id": bench.dataset(make_image_rows(3))["id"], "loss": "all"}
    assert_problem(bench.client.post("/v1/indexes", json=scoped), 422, "invalid_request")


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ({"image": "cat.png"}, "no base64"),
        ({"image": base64.b64encode(b"GIF89a" + bytes(20)).decode()}, "no PNG, JPEG or WebP"),
        ({"text": "a cat"}, "has no 'image'"),
    ],
)
def test_an_example_that_is_no_image_is_refused(
    bench: Bench, index: dict[str, Any], example: dict[str, str], said: str
) -> None:
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json={"examples": [{**example, "label": "red"}]})
    body = answer.json()
    assert (answer.status_code, body["example_index"]) == (422, 0)
    assert said in body["detail"]


def test_images_of_examples_keep_the_limits_of_the_settings(
    server: EmbeddedServer, store: Store, tmp_path: Path
) -> None:
    large = {"examples": [{"image": as_base64(draw_image(9, (80, 60))), "label": "red"}]}
    with open_bench(server.url, store, tmp_path, max_image_side=64) as bench:
        index = bench.index(
            bench.checkpoint(make_image_classifier(tmp_path / "tiny")), bench.dataset(make_image_rows(ROWS))
        )
        for collection in ("queries", "sweeps"):
            answer = bench.client.post(f"/v1/indexes/{index['id']}/{collection}", json=large)
            assert assert_problem(answer, 422, "broken_row")["max_side"] == 64


def test_a_base_without_an_image_processor_is_refused_when_it_is_sent(bench: Bench, tmp_path: Path) -> None:
    tiny = make_image_classifier(tmp_path / "tiny", processor=False)
    problem = assert_problem(bench.send_adapter(tiny), 422, "base_model_not_found")
    assert "preprocessor_config.json" in problem["detail"]


def test_an_adapter_with_another_image_processor_is_refused(bench: Bench, tmp_path: Path) -> None:
    tiny = make_image_classifier(tmp_path / "tiny")
    stated = json.loads((tiny.base / "preprocessor_config.json").read_text())
    beside = tiny.adapter / "preprocessor_config.json"
    beside.write_text(json.dumps({**stated, "image_mean": [0.1, 0.2, 0.3]}))
    files = {"adapter": ("adapter.zip", make_image_zip(tmp_path / "a.zip", contents(tiny.adapter)).read_bytes())}
    answer = bench.client.post("/v1/checkpoints", data={"base_model": str(tiny.base)}, files=files)
    assert assert_problem(answer, 422, "task_mismatch")["fields"] == ["image_mean"]

    beside.write_text(json.dumps({**stated, "size": SIDE, "feature_extractor_type": "ViTFeatureExtractor"}))
    files = {"adapter": ("adapter.zip", make_image_zip(tmp_path / "a.zip", contents(tiny.adapter)).read_bytes())}
    assert bench.client.post("/v1/checkpoints", data={"base_model": str(tiny.base)}, files=files).status_code == 201


@pytest.mark.parametrize("field", ["do_flip_channel_order", "rescale_offset", "include_top", "do_pad"])
def test_every_step_of_a_processor_that_makes_other_pixels_is_compared(field: str, tmp_path: Path) -> None:
    folders = [tmp_path / "base", tmp_path / "adapter"]
    for folder, value in zip(folders, (True, False), strict=True):
        folder.mkdir()
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": 16, field: value}))
    with pytest.raises(TaskMismatch) as refused:
        check_processor(*folders)
    assert refused.value.extra["fields"] == [field]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "imagegpt"}, "colours as tokens"),
        ({"model_type": "siglip2", "vision_config": {"x": 1}}, "patches with their mask"),
        ({"model_type": "shieldgemma2", "vision_config": {"x": 1}}, "more than images"),
    ],
)
def test_classifiers_that_read_more_than_pixels_are_refused_by_name(config: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskMismatch, match=says):
        refuse_inexact(config, "image_classification")
    for kind in EXACT_FOR_IMAGES:
        refuse_inexact({"model_type": kind, "vision_config": {"x": 1}}, "image_classification")


@pytest.mark.parametrize("kind", ["vit", "beit", "convnext", "siglip"])
def test_an_adapter_that_calls_itself_one_of_texts_is_of_images_on_a_model_of_images(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    """PEFT has no type of its own for images, and that of texts puts the head into modules_to_save by itself."""
    tiny = make_image_classifier(tmp_path / "tiny", kind)
    now = bench.checkpoint(tiny)
    file = tiny.adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "task_type": "SEQ_CLS", "auto_mapping": None}))
    stated = json.loads((tiny.base / "config.json").read_text())
    (tiny.base / "config.json").write_text(json.dumps({**stated, "architectures": ["SomeModel"]}))
    typed = bench.checkpoint(tiny, task="image_classification")
    assert typed["task"] == bench.checkpoint(tiny)["task"] == "image_classification"
    models = [load(bench, tmp_path, checkpoint).model for checkpoint in (now, typed)]
    pixels = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        first, second = (model(pixel_values=pixels).logits for model in models)
    torch.testing.assert_close(first, second)


def test_a_model_that_normalises_by_batches_is_told_of(bench: Bench, tmp_path: Path) -> None:
    tiny = make_image_classifier(tmp_path / "tiny", "resnet")
    (warning,) = bench.checkpoint(tiny)["warnings"]
    assert "BatchNorm" in warning
    weights = load_file(tiny.adapter / "adapter_model.safetensors")
    counted = {**weights, "base_model.model.classifier.0.num_batches_tracked": torch.tensor(3)}
    save_file(counted, tiny.adapter / "adapter_model.safetensors")
    problem = assert_problem(bench.send_adapter(tiny), 422, "adapter_mismatch")
    assert "merge_and_unload" in problem["hint"]


def test_convolutions_in_groups_are_refused_as_such(bench: Bench, tmp_path: Path) -> None:
    tiny = make_image_classifier(tmp_path / "tiny", "regnet")
    problem = assert_problem(bench.send_adapter(tiny), 422, "adapter_mismatch")
    assert "in groups" in problem["hint"]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


#: What adapters called these layers when transformers 4 saved them.
FORMER_TARGETS = {
    "vit": ["query", "value"],
    "deit": ["query", "intermediate.dense"],
    "beit": ["query", "value", "attention.output.dense"],
    "dinov2": ["query", "value", "fc2"],
    "dinov2_with_registers": ["query", "value", "fc2"],
    "ijepa": ["query", "intermediate.dense"],
    "segformer": ["query", "value", "dense1"],
    "swin": ["query", "value", "reduction"],
}


@pytest.mark.parametrize("kind", FORMER_TARGETS)
def test_an_adapter_of_transformers_4_is_read_by_the_names_of_today(bench: Bench, tmp_path: Path, kind: str) -> None:
    tiny = make_image_classifier(tmp_path / "tiny", kind)
    now = bench.checkpoint(tiny)
    write_former(tiny.adapter, LayerNames(kind), {"target_modules": FORMER_TARGETS[kind]})
    before = bench.checkpoint(tiny)
    assert (now["layer_names"], before["layer_names"]) == (None, "transformers 4")
    models = [load(bench, tmp_path, checkpoint).model for checkpoint in (now, before)]
    pixels = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        first, second = (model(pixel_values=pixels).logits for model in models)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("kind", FORMER_TARGETS)
def test_files_of_transformers_4_have_the_former_names(tmp_path: Path, kind: str) -> None:
    """transformers itself reads a base model with the names that the table calls the former ones."""
    tiny, names = make_image_classifier(tmp_path, kind), LayerNames(kind)
    file = tiny.base / "model.safetensors"
    current = {names.current(name): tensor for name, tensor in load_file(file).items()}
    save_file({names.former(name): tensor for name, tensor in current.items()}, file, metadata={"format": "pt"})
    model, report = ARCHITECTURES[kind][1].from_pretrained(tiny.base, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert names.are_former(load_file(file))
    assert not names.are_former(name for name, _ in model.named_parameters())


def test_named_parts_of_a_plain_model_are_scored(bench: Bench, tmp_path: Path) -> None:
    tiny = make_image_classifier(tmp_path / "tiny")
    shutil.rmtree(tiny.adapter)
    body = {"base_model": str(tiny.base), "trainable": ["classifier", "vit.encoder.layer.1.intermediate"]}
    checkpoint = bench.client.post("/v1/checkpoints", json=body).json()
    assert (checkpoint["task"], checkpoint["tensors"]) == ("image_classification", 4)
    index = bench.index(checkpoint, bench.dataset(make_image_rows(ROWS)))
    assert bench.query(index, examples=make_image_rows(1, seed=3), k=1)["results"][0]["helpful"]


def test_images_are_compared_by_their_embeddings(bench: Bench, index: dict[str, Any]) -> None:
    query = bench.query(index, examples=make_image_rows(1), method="embedding", k=1)
    best = query["results"][0]["helpful"][0]
    assert best["score"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_wrong_labels_of_images_are_found_by_models_that_are_trained_anew(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    tiny = make_image_classifier(tmp_path / "tiny", kind)
    request = {
        "kind": "mislabelled",
        "dataset_id": bench.dataset(make_image_rows(24))["id"],
        "flip_share": 0.2,
        "lora": {"r": 2, "lora_alpha": 4},
        "recipe": {"epochs": 1, "batch_rows": 8, "learning_rate": 0.02},
    }
    problem = assert_problem(bench.client.post("/v1/evaluations", json=request), 422, "invalid_request")
    assert "base_model" in problem["hint"]
    assert bench.evaluate(**request, base_model=str(tiny.base))["report"]["tables"]
