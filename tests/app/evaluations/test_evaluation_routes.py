"""Evaluations over HTTP: accepted once, watched, read in three forms, cancelled and deleted without a trace."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.uploads.encoders import make_encoder_alias

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import now
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Picture, Report, Series, Table
from influence.store.store import Store

COLUMNS = ("method", "AUC", "AUC low", "AUC high")
TABLE = Table(name="auc", title="AUC", columns=COLUMNS, rows=(("a|b", 0.7123, 0.69, 0.73),))
LINE = Series(label="a", x=(1.0,), y=(2.0,))
PICTURE = Picture(name="auc", title="AUC", x_label="x", y_label="y", series=(LINE,))
REPORT = Report(tables=(TABLE,), pictures=(PICTURE,), reading=("It works.",), figures={"auc": 0.7123})
MAKE = {"kind": "lds", "subsets": 8}


def judging(index: dict[str, Any]) -> dict[str, str]:
    """Fields that name an index and test points."""
    return {"index_id": index["id"], "evaluation_dataset_id": index["spec"]["dataset_id"]}


@pytest.fixture
def evaluation(client: TestClient, ready_index: dict[str, Any]) -> dict[str, Any]:
    """An evaluation of an index that waits in the queue."""
    answer = client.post("/v1/evaluations", json={**MAKE, **judging(ready_index)})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def finish(store: Store, evaluation_id: str) -> Evaluation:
    """Write the report as a worker would."""
    done = {"state": "succeeded", "report": REPORT, "pieces": 8, "finished_at": now()}
    found = store.evaluations.update(evaluation_id, lambda found: found.model_copy(update=done))
    store.evaluation_data.keep_picture(evaluation_id, "auc.svg", b"<svg/>")
    store.evaluation_data.keep_picture(evaluation_id, "auc.png", b"\x89PNG")
    store.jobs.succeed(found.job_id)
    return found


def test_an_evaluation_is_a_job_on_the_build_queue(
    client: TestClient, evaluation: dict[str, Any], ready_index: dict[str, Any], checkpoint: Checkpoint, store: Store
) -> None:
    assert evaluation["id"].startswith("eval_")
    about = {"evaluation_id": evaluation["id"], "job_id": evaluation["job_id"]}
    assert ("plan_evaluation", about) in store.queue.waiting("build")
    job = client.get(f"/v1/jobs/{evaluation['job_id']}").json()
    assert (job["kind"], job["resource"]) == ("evaluation", f"/v1/evaluations/{evaluation['id']}")
    subject = evaluation["subject"]
    assert subject["dataset_id"] == ready_index["spec"]["dataset_id"]
    assert (subject["task"], subject["num_labels"], subject["label_names"]) == (
        "sequence_classification",
        3,
        list(checkpoint.label_names or ()),
    )
    assert subject["base_model"]["location"] == "tiny"


@pytest.mark.parametrize(
    ("asked", "trainings", "steps"),
    [
        # Six epochs of half of 12 rows: one batch each. Two of a third: four rows in two batches.
        ({"kind": "lds", "subsets": 8, "retrain_seeds": 2}, 16, 6 * 16),
        ({"kind": "lds", "subsets": 4, "subset_share": 1 / 3, "recipe": {"epochs": 2, "batch_rows": 2}}, 4, 16),
        ({"kind": "calibrate", "subsets": 10, "recipe": {"epochs": 1, "batch_rows": 5}}, 10, 20),
        # Three of all rows, in three batches; three of each of two choices, without one row, without nine.
        (
            {"kind": "leave-out", "counts": [1, 9], "methods": [{"method": "datainf"}], "recipe": {"batch_rows": 5}},
            15,
            6 * (3 * 3 + 6 * 3 + 6 * 1),
        ),
        ({"kind": "leave-out", "row_indexes": [0, 1], "recipe": {"epochs": 1, "batch_rows": 5}}, 9, 3 * 3 + 6 * 2),
    ],
    ids=["halves twice", "a third", "nine tenths", "by scores", "by number"],
)
def test_what_an_evaluation_takes_is_said_and_nothing_is_begun(
    client: TestClient, ready_index: dict[str, Any], store: Store, asked: dict[str, Any], trainings: int, steps: int
) -> None:
    body = {**asked, **judging(ready_index)}
    told = client.post("/v1/evaluations/cost", json=body)
    assert (told.status_code, told.json()) == (200, {"trainings": trainings, "steps": steps, "seconds": None})
    store.indexes.update(
        ready_index["id"], lambda found: found.model_copy(update={"timings": {"rows_per_second": 2.0}})
    )
    assert client.post("/v1/evaluations/cost", json=body).json()["seconds"] > 0
    assert client.get("/v1/evaluations").json()["data"] == []
    assert not [name for name, _ in store.queue.waiting("build") if name == "plan_evaluation"]


def test_what_would_be_refused_is_refused_when_its_cost_is_asked_for(
    client: TestClient, ready_index: dict[str, Any]
) -> None:
    for wrong in ({"kind": "leave-out", "counts": [12]}, {"kind": "calibrate", "subsets": 8, "max_length": 3}):
        body = {**wrong, **judging(ready_index)}
        refusals = [client.post(f"/v1/evaluations{path}", json=body) for path in ("", "/cost")]
        said, told = (assert_problem(one, 422, "invalid_request")["detail"] for one in refusals)
        assert said == told


def test_what_the_index_decides_stands_in_the_request_that_is_kept(
    client: TestClient, checkpoint: Checkpoint, dataset_id: str, store: Store
) -> None:
    built = client.post(
        "/v1/indexes", json={"checkpoint_id": "ckpt_1", "dataset_id": dataset_id, "max_length": 77}
    ).json()
    store.indexes.update(built["id"], lambda found: found.model_copy(update={"state": "succeeded", "rows_indexed": 12}))
    store.jobs.succeed(built["job_id"])
    made = client.post("/v1/evaluations", json={**MAKE, **judging(built)}).json()
    assert made["request"]["max_length"] == 77


def test_progress_of_the_job_shows_in_the_evaluation(
    client: TestClient, evaluation: dict[str, Any], store: Store
) -> None:
    store.jobs.start(evaluation["job_id"])
    store.jobs.set_phase(evaluation["job_id"], "trainings", total=800, shown_total=8, unit="trainings")
    store.jobs.set_done(evaluation["job_id"], 100, shard=0)
    store.jobs.set_done(evaluation["job_id"], 40, shard=1)
    for shown in (
        client.get(f"/v1/evaluations/{evaluation['id']}").json(),
        client.get("/v1/evaluations").json()["data"][0],
    ):
        assert (shown["state"], shown["progress"]["done"], shown["progress"]["total"]) == ("running", 1, 8)
        assert (shown["progress"]["unit"], shown["progress"]["share"]) == ("trainings", 0.175)


def test_the_report_is_read_as_json_markdown_and_pictures(
    client: TestClient, evaluation: dict[str, Any], store: Store
) -> None:
    finish(store, evaluation["id"])
    path = f"/v1/evaluations/{evaluation['id']}"
    assert client.get(f"{path}/report").json() == REPORT.model_dump(mode="json")
    for markdown in (
        client.get(f"{path}/report.md"),
        client.get(f"{path}/report", headers={"Accept": "text/markdown"}),
    ):
        assert markdown.headers["content-type"].startswith("text/markdown")
        assert "| a\\|b | 0.712 (0.690 to 0.730) |" in markdown.text
        (link,) = re.findall(r"!\[[^]]*\]\((.*)\)", markdown.text)
        assert client.get(urljoin(f"{path}/report.md", link)).content == b"<svg/>"
    unlike = client.get(f"{path}/report", headers={"Accept": "text/markdown;q=0.1, application/json;q=0.2"})
    assert (unlike.headers["content-type"], unlike.headers["vary"]) == ("application/json", "Accept")
    assert_problem(client.get(f"{path}/report", headers={"Accept": "text/csv"}), 406, "not_acceptable")
    svg, png = client.get(f"{path}/pictures/auc.svg"), client.get(f"{path}/pictures/auc.png")
    assert (svg.content, svg.headers["content-type"]) == (b"<svg/>", "image/svg+xml")
    assert (png.content, png.headers["content-type"]) == (b"\x89PNG", "image/png")
    assert "default-src 'none'" in svg.headers["content-security-policy"]
    body = assert_problem(client.get(f"{path}/pictures/roc.svg"), 404, "not_found")
    assert body["pictures"] == ["auc.svg", "auc.png"]


def test_lists_leave_reports_out(client: TestClient, evaluation: dict[str, Any], store: Store) -> None:
    finish(store, evaluation["id"])
    (listed,) = client.get("/v1/evaluations").json()["data"]
    assert (listed["state"], listed["report"], listed["pieces"]) == ("succeeded", None, 8)
    assert client.get(f"/v1/evaluations/{evaluation['id']}").json()["report"]["reading"] == ["It works."]


def test_a_report_that_is_not_there_yet_is_a_conflict_with_the_job(
    client: TestClient, evaluation: dict[str, Any]
) -> None:
    for part in ("report", "report.md", "pictures/auc.svg"):
        body = assert_problem(client.get(f"/v1/evaluations/{evaluation['id']}/{part}"), 409, "conflict")
        assert body["job_id"] == evaluation["job_id"]


def test_waiting_gives_the_report_if_it_is_there_in_time(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    body, headers = {**MAKE, **judging(ready_index)}, {"Idempotency-Key": "k"}
    first = client.post("/v1/evaluations", json=body, headers={**headers, "Prefer": "wait=0"})
    finish(store, first.json()["id"])
    again = client.post("/v1/evaluations", json=body, headers={**headers, "Prefer": "wait=5"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["report"]["figures"] == {"auc": 0.7123}
    other = client.post("/v1/evaluations", json={**body, "subsets": 9}, headers=headers)
    assert_problem(other, 409, "idempotency_conflict")


def test_cancelling_removes_what_was_found(client: TestClient, evaluation: dict[str, Any], store: Store) -> None:
    store.evaluation_data.keep_plan(evaluation["id"], [{}])
    store.evaluation_data.keep_result(evaluation["id"], 0, {"loss": 1.0})
    assert client.delete(f"/v1/jobs/{evaluation['job_id']}").json()["state"] == "cancelled"
    shown = client.get(f"/v1/evaluations/{evaluation['id']}").json()
    assert shown["state"] == "cancelled"
    assert shown["finished_at"] is not None
    assert list(store.connections.state.scan_iter(match=f"*{{{evaluation['id']}}}*")) == []
    assert_problem(client.get(f"/v1/evaluations/{evaluation['id']}/report"), 409, "conflict")


def test_deleting_cancels_and_leaves_nothing(client: TestClient, evaluation: dict[str, Any], store: Store) -> None:
    store.evaluation_data.keep_result(evaluation["id"], 0, {"loss": 1.0})
    assert client.delete(f"/v1/evaluations/{evaluation['id']}").status_code == 204
    assert store.jobs.state(evaluation["job_id"]) == "cancelled"
    assert_problem(client.get(f"/v1/evaluations/{evaluation['id']}"), 404, "not_found")
    assert list(store.connections.state.scan_iter(match=f"*{evaluation['id']}*")) == []


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_an_evaluation_that_came_to_nothing_is_sent_again(
    client: TestClient, evaluation: dict[str, Any], ready_index: dict[str, Any], store: Store, end: str
) -> None:
    if end == "failed":
        store.evaluations.update(evaluation["id"], lambda found: found.model_copy(update={"state": "failed"}))
        store.jobs.fail(evaluation["job_id"], {"code": "worker_died"})
    else:
        client.delete(f"/v1/jobs/{evaluation['job_id']}")
    again = client.post("/v1/evaluations", json={**MAKE, **judging(ready_index)})
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    assert again.json()["id"] != evaluation["id"]


def test_a_finished_evaluation_is_deleted_and_not_cancelled(
    client: TestClient, evaluation: dict[str, Any], store: Store
) -> None:
    finish(store, evaluation["id"])
    body = assert_problem(client.delete(f"/v1/jobs/{evaluation['job_id']}"), 409, "conflict")
    assert f"/v1/evaluations/{evaluation['id']}" in body["hint"]


def test_rows_stay_while_an_evaluation_is_at_work_on_them(
    make_client: Callable[..., TestClient], store: Store, base_models: dict[str, str]
) -> None:
    client = make_client(base_model_aliases=base_models)
    lines = "".join(f'{{"text": "t{n}", "label": {n % 2}}}\n' for n in range(30))
    rows = client.post("/v1/datasets", files={"file": ("rows.jsonl", lines)}).json()["id"]
    made = client.post("/v1/evaluations", json={"kind": "lds", "dataset_id": rows}).json()
    body = assert_problem(client.delete(f"/v1/datasets/{rows}"), 409, "resource_in_use")
    assert body["evaluations"] == [made["id"]]
    client.delete(f"/v1/evaluations/{made['id']}")
    assert client.delete(f"/v1/datasets/{rows}").status_code == 204


@pytest.fixture
def base_models(tmp_path: Path) -> dict[str, str]:
    """The default alias stands for a folder with the files that a base model has."""
    return make_encoder_alias(tmp_path / "encoder")
