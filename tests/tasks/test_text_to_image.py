"""Images with captions on a diffusion model over HTTP: from a LoRA file to scores, and images that the model makes."""

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import PeftModel
from PIL import Image
from safetensors.torch import save_file
from support.oracle import dense_datainf
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import LABELS, WORDS, make_classifier
from support.trials.bench import Bench
from support.uploads.images import as_base64, draw_image
from support.uploads.pipelines import ATTENTION, SIDE, adapt_unet, make_pipeline
from transformers import AutoTokenizer, CLIPTextModel

ROWS, STEPS, ALPHA = 12, 3, 3.0
SETTINGS = {"diffusion": {"timesteps": STEPS}}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return make_pipeline(tmp_path / "pixels", pixels=True)


def caption(number: int) -> str:
    return f"{WORDS[number % 9]} {WORDS[20 + number % 7]}"


def image_of(number: int) -> Image.Image:
    return draw_image(number, (SIDE, SIDE), ("red", "green", "blue")[number % 3])


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"id": f"r{n}", "image": as_base64(image_of(n)), "text": caption(n), "style": ("flat", "round")[n % 2]}
        for n in range(start, start + count)
    ]


def save_peft(model: Any, folder: Path) -> bytes:
    model.save_pretrained(folder)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            archive.write(folder / name, f"unet/{name}")
    return content.getvalue()


def save_kohya(model: Any, file: Path, *, alphas: bool = True) -> bytes:
    tensors = {}
    for name, value in model.state_dict().items():
        if ".lora_" in name:
            module, _, part = name.removeprefix("base_model.model.").partition(".lora_")
            flat = "lora_unet_" + module.replace(".", "_")
            tensors[f"{flat}.lora_{'down' if part[0] == 'A' else 'up'}.weight"] = value.contiguous()
            if alphas:
                tensors[f"{flat}.alpha"] = torch.tensor(ALPHA)
    save_file(tensors, file)
    return file.read_bytes()


def send(bench: Bench, pipeline: Path, content: bytes, **fields: str) -> Any:
    files = {"adapter": ("lora.bin", content)}
    return bench.client.post("/v1/checkpoints", data={"base_model": str(pipeline), **fields}, files=files)


def accept(bench: Bench, pipeline: Path, tmp_path: Path) -> dict[str, Any]:
    answer = send(bench, pipeline, save_kohya(adapt_unet(pipeline, lora_alpha=ALPHA), tmp_path / "lora.safetensors"))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def oracle(pipeline: Path, adapter: Path, numbers: range) -> list[Any]:
    """Gradients (n, d) of each factor by plain autograd in float64, one image and one timestep at a time."""
    scheduler = DDPMScheduler.from_pretrained(pipeline, subfolder="scheduler")
    tokenizer = AutoTokenizer.from_pretrained(pipeline / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(pipeline / "text_encoder").eval()
    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet")
    model = PeftModel.from_pretrained(unet, adapter, is_trainable=True).double().eval()
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found: list[list[Any]] = [[] for _ in weights]
    for number in numbers:
        ids = tokenizer(caption(number), padding="max_length", truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            states = text_encoder(ids)[0].double()
        pixels = torch.from_numpy(np.asarray(image_of(number), dtype=np.float64) / 127.5 - 1).permute(2, 0, 1)[None]
        loss = torch.zeros((), dtype=torch.float64)
        for step in range(STEPS):
            drawn = np.random.default_rng([0, step]).standard_normal((3, SIDE, SIDE), dtype=np.float32)
            noise, time = torch.from_numpy(drawn).double()[None], torch.tensor([(2 * step + 1) * 1000 // (2 * STEPS)])
            answer = model(scheduler.add_noise(pixels, noise, time), time, encoder_hidden_states=states).sample
            loss = loss + (answer - noise).square().mean() / STEPS
        for values, gradient in zip(found, torch.autograd.grad(loss, weights), strict=True):
            values.append(gradient.flatten().numpy())
    return [np.stack(values) for values in found]


def test_scores_over_http_are_those_of_a_float64_datainf_by_other_code(
    bench: Bench, pipeline: Path, tmp_path: Path
) -> None:
    model = adapt_unet(pipeline, lora_alpha=ALPHA)
    folder = send(bench, pipeline, save_peft(model, tmp_path / "peft"))
    file = send(bench, pipeline, save_kohya(model, tmp_path / "kohya.safetensors"))
    assert (folder.status_code, file.status_code) == (201, 200)
    checkpoint = folder.json()
    assert file.json()["id"] == checkpoint["id"]
    assert (checkpoint["task"], checkpoint["warnings"]) == ("text_to_image", [])
    index = bench.index(checkpoint, bench.dataset(rows(ROWS)), storage="full", **SETTINGS)
    assert {block["path"] for block in index["blocks"]} == {"fast"}
    asked = [{"image": row["image"], "text": row["text"]} for row in rows(2, start=ROWS)]
    query = bench.query(index, examples=asked, k=3)
    found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
    train = oracle(pipeline, tmp_path / "peft", range(ROWS))
    truth = dense_datainf(oracle(pipeline, tmp_path / "peft", range(ROWS, ROWS + 2)), train)
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    again = bench.query(index, examples=asked, k=3)
    assert bench.get(f"/v1/queries/{again['id']}/scores")["influence"] == found
    (first, _) = query["results"]
    assert first["base_loss"] != first["loss"]


def test_a_caption_alone_is_asked_about_the_image_that_the_model_makes(
    bench: Bench, pipeline: Path, tmp_path: Path
) -> None:
    checkpoint = accept(bench, pipeline, tmp_path)
    dataset = bench.dataset(rows(ROWS))
    index = bench.index(checkpoint, dataset, storage="full", **SETTINGS)
    asked = {"examples": [{"text": caption(1)}], "target": "prediction"}
    made = [
        bench.query(index, **asked, generation={"seed": seed, "steps": 3, "guidance_scale": scale})["results"][0]
        for seed, scale in ((4, 2.0), (4, 2.0), (5, 2.0), (4, 1.0))
    ]
    pictures = [result["example"]["image"] for result in made]
    assert pictures[0] == pictures[1]
    assert len({picture["digest"] for picture in pictures}) == 3
    opened = Image.open(io.BytesIO(base64.b64decode(pictures[0]["png"])))
    assert opened.size == (SIDE, SIDE)
    given = bench.query(index, examples=[{"text": caption(1), "image": pictures[0]["png"]}])["results"][0]
    assert given["loss"] == pytest.approx(made[0]["loss"], rel=1e-5)
    of_rows = bench.query(
        index, rows={"dataset_id": dataset["id"], "row_indexes": [1]}, target="prediction", generation={"steps": 2}
    )
    assert "png" in of_rows["results"][0]["example"]["image"]
    crowd = {"rows": {"dataset_id": bench.dataset(rows(17))["id"]}, "target": "prediction"}
    path = f"/v1/indexes/{index['id']}/queries"
    for body, says in (
        ({**asked, "examples": [{"text": "refund", "image": as_base64(image_of(0))}]}, "has an image"),
        (crowd, "at most 16"),
        ({"examples": [{"text": "refund", "image": as_base64(image_of(0))}], "generation": {}}, "no image is made"),
        ({"examples": [{"text": "refund", "image": as_base64(image_of(0))}], "against": "x"}, "answers with images"),
        ({"examples": [{"text": "refund", "image": as_base64(image_of(0))}], "target": {"span": [0, 2]}}, "no text"),
        ({"examples": [{"text": "refund", "image": as_base64(image_of(0))}], "include": ["tokens"]}, "by token"),
    ):
        assert says in assert_problem(bench.client.post(path, json=body), 422, "invalid_request")["detail"]
    without = bench.client.post(path, json={"examples": [{"text": "refund"}]})
    assert_problem(without, 422, "columns_unmatched")


def test_an_image_that_cannot_be_made_is_refused_when_it_is_asked_for(
    bench: Bench, pipeline: Path, tmp_path: Path
) -> None:
    file = pipeline / "scheduler" / "scheduler_config.json"
    usual = json.loads(file.read_text())
    dataset = bench.dataset(rows(4))
    for ends, refused in (
        ({"rescale_betas_zero_snr": True}, True),
        ({"trained_betas": [0.1, 0.5, 1.0], "num_train_timesteps": 3}, True),
        ({"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, False),
        ({"rescale_betas_zero_snr": False}, False),
    ):
        file.write_text(json.dumps({**usual, **ends}))
        index = bench.index(accept(bench, pipeline, tmp_path), dataset, storage="compact", rank=4, **SETTINGS)
        asked = {"examples": [{"text": caption(1)}], "target": "prediction", "generation": {"steps": 2}}
        answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json=asked)
        assert (answer.status_code == 422) == refused, answer.text
        if refused:
            assert "pure noise" in assert_problem(answer, 422, "unsupported_module")["detail"]


def test_what_is_no_loss_ranks_rows_and_says_so(bench: Bench, pipeline: Path, tmp_path: Path) -> None:
    checkpoint, dataset = accept(bench, pipeline, tmp_path), bench.dataset(rows(ROWS))
    ids = set()
    for options in ({}, {"measurement": "square"}, {"timestep_weighting": "unit_norm"}, {"seed": 3}):
        index = bench.index(checkpoint, dataset, diffusion={"timesteps": 2, **options}, storage="compact", rank=4)
        query = bench.query(index, rows={"dataset_id": dataset["id"], "row_indexes": [0]}, k=2)
        is_loss = "seed" in options or not options
        assert any("of no loss" in note for note in query["notes"]) != is_loss
        answer = bench.client.post(f"/v1/indexes/{index['id']}/audits", json={})
        assert (answer.status_code == 202) == is_loss
        ids.add(index["id"])
    assert len(ids) == 4
    spelt = bench.index(checkpoint, dataset, diffusion={"timesteps": 2, "resolution": SIDE}, storage="compact", rank=4)
    assert spelt["id"] in ids


def test_audits_groups_and_previews_work_on_images(bench: Bench, pipeline: Path, tmp_path: Path) -> None:
    checkpoint, dataset = accept(bench, pipeline, tmp_path), bench.dataset(rows(ROWS))
    index = bench.index(checkpoint, dataset, storage="full", **SETTINGS)
    audit = bench.audit(index)
    assert [signal["name"] for signal in audit["signals"]] == ["loss", "self_influence"]
    groups = bench.groups(index, by="style", evaluation={"dataset_id": dataset["id"], "row_indexes": [0, 2]})
    assert {group["group"] for group in groups["groups"]} == {"flat", "round"}
    alike = bench.query(index, rows={"dataset_id": dataset["id"], "row_indexes": [4]}, method="embedding", k=1)
    assert alike["results"][0]["helpful"][0]["row_id"] == "r4"
    beside = bench.query(index, rows={"dataset_id": dataset["id"], "row_indexes": [4]}, compare=["embedding"], k=2)
    (compared,) = beside["results"][0]["compared"]
    assert compared["rows"][0]["row_id"] == "r4"
    assert bench.preview(checkpoint, dataset)[1]["tokens"][1] == caption(1).split()[0]


def test_what_this_task_cannot_do_is_refused_at_once(bench: Bench, pipeline: Path, tmp_path: Path) -> None:
    checkpoint, dataset = accept(bench, pipeline, tmp_path), bench.dataset(rows(ROWS))
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]}
    for body in (
        {"diffusion": {"timesteps": 1001}},
        {"diffusion": {"measurement": "square", "snr_gamma": 5}},
        {"kronecker": True},
        {"loss": "all"},
        {"reduction": "sum"},
    ):
        assert_problem(bench.client.post("/v1/indexes", json={**ids, **body}), 422, "invalid_request")
    index = bench.index(checkpoint, dataset, **SETTINGS)
    margin = {"signals": ["margin"]}
    assert_problem(bench.client.post(f"/v1/indexes/{index['id']}/audits", json=margin), 422, "invalid_request")
    texts = bench.dataset(make_ticket_rows(4))
    wrong = bench.client.post("/v1/indexes", json={**ids, "dataset_id": texts["id"]})
    assert_problem(wrong, 422, "rows_unfit")


def test_requests_that_do_not_go_with_the_base_are_refused(bench: Bench, pipeline: Path, tmp_path: Path) -> None:
    silent = save_kohya(adapt_unet(pipeline, lora_alpha=ALPHA), tmp_path / "silent.safetensors", alphas=False)
    assumed, told = send(bench, pipeline, silent).json(), send(bench, pipeline, silent, lora_alpha="3").json()
    assert assumed["id"] != told["id"]
    assert "lora_alpha" in assumed["warnings"][0]
    assert told["warnings"] == []
    assert_problem(send(bench, pipeline, silent, task="causal_lm"), 422, "task_mismatch")
    assert_problem(send(bench, pipeline, silent, label_names='["a"]'), 422, "invalid_request")
    trained = {"base_model": str(pipeline), "trainable": ["conv_in"]}
    assert_problem(bench.client.post("/v1/checkpoints", json=trained), 422, "invalid_request")
    tiny = make_classifier(tmp_path / "text")
    assert_problem(bench.send_adapter(tiny, lora_alpha="3"), 422, "invalid_request")
    assert_problem(bench.send_adapter(tiny, task="text_to_image"), 422, "base_model_not_found")
    index = {
        "checkpoint_id": bench.checkpoint(tiny, label_names=json.dumps(LABELS))["id"],
        "dataset_id": bench.dataset(make_ticket_rows(4))["id"],
        "diffusion": {},
    }
    assert_problem(bench.client.post("/v1/indexes", json=index), 422, "invalid_request")


@pytest.mark.parametrize("kind", [{"prediction": "v_prediction"}, {"xl": True}], ids=["velocities", "xl"])
def test_a_pipeline_in_latents_goes_all_the_way(bench: Bench, tmp_path: Path, kind: dict[str, Any]) -> None:
    latent = make_pipeline(tmp_path / "latents", **kind)
    model = adapt_unet(latent, targets=(*ATTENTION, "conv1", "proj_in"))
    model.save_pretrained(tmp_path / "peft")
    named = {"base_model": str(latent), "adapter": str(tmp_path / "peft")}
    checkpoint = bench.client.post("/v1/checkpoints", json=named)
    assert checkpoint.status_code == 201, checkpoint.text
    assert checkpoint.json()["pipeline"]["works_on"] == "latents"
    dataset = bench.dataset(rows(ROWS))
    index = bench.index(checkpoint.json(), dataset, **SETTINGS)
    halves = bench.index(checkpoint.json(), dataset, precision="bfloat16", **SETTINGS)
    assert halves["precision_fidelity"] is not None
    result = bench.query(index, examples=[{"text": caption(0)}], target="prediction", generation={"steps": 2})
    assert result["results"][0]["example"]["image"]["width"] == SIDE


def test_a_run_of_an_image_model_is_refused_by_name(bench: Bench, pipeline: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for step in (1, 2):
            adapt_unet(pipeline, seed=step).save_pretrained(tmp_path / str(step))
            for name in ("adapter_config.json", "adapter_model.safetensors"):
                archive.write(tmp_path / str(step) / name, f"out/checkpoint-{step}/{name}")
    files = {"run": ("run.zip", content.getvalue())}
    answer = bench.client.post("/v1/runs", data={"base_model": str(pipeline)}, files=files)
    problem = assert_problem(answer, 422, "invalid_request")
    assert problem["field"] == "base_model"
    assert "/v1/checkpoints" in problem["hint"]
