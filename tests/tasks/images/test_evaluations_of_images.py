"""Evaluations that train diffusion models anew: who finds classes, who predicts such trainings."""

from pathlib import Path
from typing import Any

import pytest
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import make_classifier
from support.trials.bench import Bench
from support.uploads.images import as_base64, draw_image
from support.uploads.pipelines import SIDE, adapt_unet, make_pipeline

RECIPE = {"epochs": 1, "batch_rows": 8, "learning_rate": 3e-3}
SHAPE = {"r": 2, "lora_alpha": 2}
DIFFUSION = {"timesteps": 2}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return make_pipeline(tmp_path / "pixels", pixels=True)


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Red pictures and blue ones: pixels tell the classes apart."""
    colours = ("red", "blue")
    return [
        {
            "id": f"r{n}",
            "image": as_base64(draw_image(n, (SIDE, SIDE), colours[n % 2])),
            "text": f"order of {colours[n % 2]}",
            "colour": colours[n % 2],
        }
        for n in range(start, start + count)
    ]


def captions(bench: Bench, count: int, start: int = 0) -> dict[str, Any]:
    return bench.dataset(rows(count, start), columns='{"image": "image", "text": "text", "class": "colour"}')


def index_of(bench: Bench, pipeline: Path, dataset: dict[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
    adapt_unet(pipeline).save_pretrained(folder)
    named = {"base_model": str(pipeline), "adapter": str(folder)}
    checkpoint = bench.client.post("/v1/checkpoints", json=named)
    assert checkpoint.status_code in (200, 201), checkpoint.text
    return bench.index(checkpoint.json(), dataset, storage="full", diffusion={**DIFFUSION, **options})


def cells(evaluation: dict[str, Any], table: str) -> dict[tuple[Any, ...], list[Any]]:
    """The rows of a table of the report, by method and what its gradients are of."""
    (found,) = (one for one in evaluation["report"]["tables"] if one["name"] == table)
    return {tuple(cell for cell in row[:2] if isinstance(cell, str)): row for row in found["rows"]}


def test_classes_of_images_are_looked_for_by_gradients_and_by_what_looks_alike(bench: Bench, pipeline: Path) -> None:
    asked = {
        "kind": "class-attribution",
        "dataset_id": captions(bench, 16)["id"],
        "evaluation_dataset_id": captions(bench, 4, start=16)["id"],
        "base_model": str(pipeline),
        "recipe": RECIPE,
        "lora": SHAPE,
        "methods": [{"method": "datainf"}, {"method": "cosine"}],
    }
    found = bench.evaluate(**asked)
    methods = [(name, of) for of in ("loss", "square") for name in ("datainf", "cosine")]
    assert list(cells(found, "methods")) == methods
    baselines = cells(found, "baselines")
    assert list(baselines) == [("embedding",), ("pixel distance",)]
    assert baselines["pixel distance",][1] > 0.9
    assert found["report"]["figures"]["prompts_naming_class"] == 1.0
    reading = " ".join(found["report"]["reading"])
    assert "What merely looks alike reaches AUC" in reading
    assert "completion" not in reading
    (model,) = cells(found, "models").values()
    assert model[3] != model[4]  # the loss of the test images before and after


def test_scores_are_held_against_training_without_images(bench: Bench, pipeline: Path, tmp_path: Path) -> None:
    train, test = captions(bench, 12), captions(bench, 4, start=12)
    own = {"kind": "lds", "evaluation_dataset_id": test["id"], "subsets": 4, "recipe": RECIPE}
    squared = [{"method": "datainf"}, {"method": "datainf", "measurement": "square"}]
    anew = bench.evaluate(**own, dataset_id=train["id"], base_model=str(pipeline), lora=SHAPE, methods=squared)
    assert list(cells(anew, "lds")) == [("datainf",), ("datainf, square",)]
    assert {name for name, *_ in cells(anew, "baselines")} == {"embedding", "pixel distance", "loss"}
    by_loss, by_square = (
        bench.evaluate(
            **own, index_id=index_of(bench, pipeline, train, tmp_path / f"lora{len(options)}", **options)["id"]
        )
        for options in ({}, {"measurement": "square"})
    )
    # Whatever gradients are of, the loss is what training lowers and what is measured after it.
    figures = [found["report"]["figures"] for found in (by_loss, by_square)]
    assert figures[0]["mean_test_loss_of_subsets"] == pytest.approx(figures[1]["mean_test_loss_of_subsets"], rel=1e-4)
    assert figures[0]["lds"] != figures[1]["lds"]


def test_what_would_say_nothing_is_refused_at_once(bench: Bench, pipeline: Path, tmp_path: Path) -> None:
    train, test = captions(bench, 12), captions(bench, 4, start=12)
    square = index_of(bench, pipeline, train, tmp_path / "lora", measurement="square")
    text = str(make_classifier(tmp_path / "text").base)
    texts = bench.dataset(make_ticket_rows(24))["id"]
    plain = bench.dataset(rows(12), columns='{"image": "image", "text": "text"}')["id"]
    base, measured = {"base_model": str(pipeline)}, [{"method": "datainf", "measurement": "square"}]
    of_index = {"index_id": square["id"], "evaluation_dataset_id": test["id"]}
    named = {"kind": "class-attribution", "dataset_id": train["id"], **base}
    for body, code, says in (
        ({"kind": "calibrate", **of_index}, "invalid_request", "of no loss"),
        ({"kind": "lds", **of_index, "methods": measured}, "invalid_request", "'measurement'"),
        ({**named, "methods": measured}, "invalid_request", "both shown"),
        ({"kind": "class-attribution", "dataset_id": train["id"]}, "invalid_request", "no base model"),
        ({"kind": "lds", "dataset_id": train["id"], "base_model": text}, "task_mismatch", "no folder of"),
        ({"kind": "mislabelled", "dataset_id": texts, **base}, "task_mismatch", "a diffusion pipeline"),
        ({"kind": "mislabelled", "dataset_id": train["id"], **base}, "rows_unfit", "have none"),
        ({**named, "dataset_id": plain}, "rows_unfit", "no class names"),
    ):
        assert says in assert_problem(bench.client.post("/v1/evaluations", json=body), 422, code)["detail"], says
