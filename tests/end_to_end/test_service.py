"""The main job over HTTP, with real processes that die and come back."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes.serving import END_SECONDS, Service, serving, wait_for_workers
from support.rows import make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint, make_causal

from cli.samples.transformations import TransformationSettings, make_transformations, to_jsonl

ROWS = 160
CLASS_COLUMN = {"columns": '{"class": "class"}'}


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, tiny: TinyCheckpoint, wait_until: Callable[..., None]
) -> Iterator[Service]:
    """A service that cuts even a few hundred rows into many shards. Ctrl-C ends it, and every process of it."""
    environment = {
        "DATAINF_ALLOWED_ROOTS": json.dumps([str(tiny.base.parent)]),
        "DATAINF_CPU_THREADS": "1",
        "DATAINF_SHARD_SECONDS": "0.001",
        "DATAINF_TOKEN_BUDGET": "64",
    }
    with serving(tmp_path_factory.mktemp("service") / "data", **environment) as running:
        wait_for_workers(running, wait_until)
        yield running
        wait_for_workers(running, wait_until)  # those that a test has killed come again
        below = descendants(running.process.pid)
        assert len(below) >= 4
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(END_SECONDS) == 0
        # What a child started for itself ends behind it.
        wait_until(lambda: not any(map(command_of, below)), "no process is left")


@pytest.fixture(scope="module")
def uploaded(service: Service, tiny: TinyCheckpoint, tiny_zip: Path) -> dict[str, str]:
    """Ids of checkpoint and data set."""
    form = {"base_model": str(tiny.base), "label_names": json.dumps(LABELS)}
    checkpoint = service.post("/v1/checkpoints", data=form, files={"adapter": ("adapter.zip", tiny_zip.read_bytes())})
    lines = "\n".join(json.dumps(row) for row in make_ticket_rows(ROWS))
    dataset = service.post("/v1/datasets", files={"file": ("rows.jsonl", lines.encode())})
    return {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]}


def workers_of(service: Service) -> list[int]:
    """Process ids of the worker processes below the service."""
    return [pid for pid in descendants(service.process.pid) if "workers.process.start" in command_of(pid)]


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in children for found in (int(child), *descendants(int(child)))]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_stranger_gets_from_upload_to_scores(
    service: Service, uploaded: dict[str, str], wait_until: Callable[..., None]
) -> None:
    index = service.post("/v1/indexes", json={**uploaded, "max_length": 64})
    job = service.finish(index["job_id"], wait_until)
    assert job["state"] == "succeeded", job
    again = service.client.post("/v1/indexes", json={**uploaded, "max_length": 64})
    assert (again.status_code, again.json()["id"]) == (200, index["id"])
    question = {"examples": [{"text": "refund my card", "label": "billing"}], "k": 3}
    answer = service.answer(f"/v1/indexes/{index['id']}/queries", wait_until, json=question)
    (result,) = answer["results"]
    assert [row["rank"] for row in result["helpful"]] == [1, 2, 3]
    assert all(row["direction"] == "helpful" and row["row"]["text"] for row in result["helpful"])
    scores = service.get(f"/v1/queries/{answer['id']}/scores")
    assert len(scores["influence"][0]) == ROWS
    assert result["helpful"][0]["influence"] == pytest.approx(min(scores["influence"][0]))


def test_a_preview_shows_what_the_model_reads(
    service: Service, uploaded: dict[str, str], wait_until: Callable[..., None]
) -> None:
    preview = service.answer(
        f"/v1/datasets/{uploaded['dataset_id']}/preview",
        wait_until,
        json={"checkpoint_id": uploaded["checkpoint_id"], "max_length": 64},
    )
    assert len(preview["rows"]) == 5
    assert preview["rows"][0]["tokens"][0] == "[CLS]"


def test_a_killed_worker_loses_and_doubles_no_row(
    service: Service, uploaded: dict[str, str], wait_until: Callable[..., None]
) -> None:
    index = service.post("/v1/indexes", json={**uploaded, "max_length": 63})
    wait_until(lambda: is_at(service, index, ROWS // 3), "a third of the rows is done")
    for pid in workers_of(service):
        os.kill(pid, signal.SIGKILL)
    assert service.finish(index["job_id"], wait_until)["state"] == "succeeded"
    built = service.get(f"/v1/indexes/{index['id']}")
    assert built["rows_indexed"] == ROWS
    question = {"rows": {"dataset_id": uploaded["dataset_id"], "row_indexes": [0]}, "k": ROWS, "order": "helpful"}
    answer = service.answer(f"/v1/indexes/{index['id']}/queries", wait_until, json=question)
    ranked = [row["row_index"] for row in answer["results"][0]["helpful"]]
    assert sorted(ranked) == list(range(ROWS))


def test_a_worker_killed_in_the_middle_of_an_audit_goes_on_where_it_was(
    service: Service, uploaded: dict[str, str], wait_until: Callable[..., None]
) -> None:
    index = service.post("/v1/indexes", json={**uploaded, "max_length": 64})
    assert service.finish(index["job_id"], wait_until)["state"] == "succeeded"
    path = f"/v1/indexes/{index['id']}/audits"
    # Long enough that a worker dies in the middle: the same rows many times over.
    evaluation = {"dataset_id": uploaded["dataset_id"], "row_indexes": [*range(ROWS)] * 4}
    audit = service.post(path, json={"evaluation": evaluation, "signals": ["loss", "influence", "predicted"]})

    def evaluated() -> bool:
        job = service.get(f"/v1/jobs/{audit['job_id']}")
        assert job["state"] not in ("failed", "cancelled"), job
        progress = job["progress"]
        is_under_way = progress["phase"] == "evaluation gradients" and progress["done"] >= ROWS
        return bool(is_under_way or job["state"] == "succeeded")  # where nobody looked for a while

    wait_until(evaluated, "the audit is under way")
    for pid in workers_of(service):
        os.kill(pid, signal.SIGKILL)
    assert service.finish(audit["job_id"], wait_until)["state"] == "succeeded"
    found = service.get(f"/v1/audits/{audit['id']}")
    assert (found["rows_audited"], found["evaluation_rows"]) == (ROWS, 4 * ROWS)
    query = {"rows": {"dataset_id": uploaded["dataset_id"]}, "aggregate": "mean"}
    answer = service.answer(f"/v1/indexes/{index['id']}/queries", wait_until, json=query)
    (expected,) = service.get(f"/v1/queries/{answer['id']}/scores")["influence"]
    lines = service.client.get(f"/v1/audits/{audit['id']}/table", headers={"Accept": "application/jsonl"}).text
    influence = [json.loads(line)["influence"] for line in lines.splitlines()]
    assert influence == pytest.approx(expected, rel=1e-3, abs=1e-3 * max(map(abs, expected)))


def is_at(service: Service, index: Any, done: int) -> bool:
    """Whether so many rows are done, or, where nobody looked for a while, all of them."""
    job = service.get(f"/v1/jobs/{index['job_id']}")
    assert job["state"] not in ("failed", "cancelled"), job
    in_gradients = job["progress"]["phase"] in ("gradients", "finishing")
    return job["state"] == "succeeded" or bool(in_gradients and job["progress"]["done"] >= done)


def test_a_killed_worker_does_not_lose_an_evaluation(
    service: Service, tiny: TinyCheckpoint, wait_until: Callable[..., None]
) -> None:
    train, test = make_transformations(TransformationSettings(train_rows=40, test_rows=10))
    ids = [
        service.post("/v1/datasets", files={"file": ("rows.jsonl", to_jsonl(rows))}, data=CLASS_COLUMN)
        for rows in (train, test)
    ]
    asked = service.post(
        "/v1/evaluations",
        json={
            "kind": "class-attribution",
            "base_model": str(make_causal(tiny.base.parent / "causal").base),
            "dataset_id": ids[0]["id"],
            "evaluation_dataset_id": ids[1]["id"],
            "seeds": [0, 1],
            "methods": [{"method": "datainf"}],
            "recipe": {"epochs": 1},
        },
    )
    path = f"/v1/evaluations/{asked['id']}"

    def is_begun() -> bool:
        found = service.get(path)
        progress = found["progress"] or {"phase": ""}
        is_under_way = progress["phase"] == "trainings" and (progress["share"] or 0) > 0
        return bool(is_under_way or found["state"] == "succeeded")  # where nobody looked for a while

    wait_until(is_begun, "a piece is in hand")
    for pid in workers_of(service):
        os.kill(pid, signal.SIGKILL)
    assert service.finish(asked["job_id"], wait_until)["state"] == "succeeded"
    found = service.get(path)
    assert (found["state"], found["pieces"], found["report"]["figures"]["seeds"]) == ("succeeded", 2, [0, 1])
    assert service.client.get(f"{path}/report.md").text.startswith("# class-attribution")
    assert service.client.get(f"{path}/pictures/auc.png").content.startswith(b"\x89PNG")
