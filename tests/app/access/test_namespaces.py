"""What one namespace makes, another does not see; what both send is each one's own."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.api import Headers, MakeKey
from support.problems import assert_problem
from support.work import make_work, write_data

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.work import WORK_KINDS, WorkKind
from influence.store.data.files import Files
from influence.store.store import Store
from influence.store.work import accept, delete, fail, finish

ROWS = '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'


@pytest.fixture
def ours(make_key: MakeKey) -> Headers:
    return make_key("write", "team-a")


@pytest.fixture
def theirs(make_key: MakeKey) -> Headers:
    return make_key("write", "team-b")


@pytest.fixture
def admin(make_key: MakeKey) -> Headers:
    return make_key("admin")


def send(client: TestClient, headers: Headers) -> Any:
    return client.post("/v1/datasets", files={"file": ("rows.jsonl", ROWS)}, headers=headers)


def listed(client: TestClient, headers: Headers, collection: str = "datasets") -> list[str]:
    return [one["id"] for one in client.get(f"/v1/{collection}", headers=headers).json()["data"]]


def test_the_same_rows_are_a_data_set_of_each_ones_own(
    guarded: TestClient, ours: Headers, theirs: Headers, admin: Headers, files: Files
) -> None:
    first, second, third = (send(guarded, headers) for headers in (ours, theirs, admin))
    assert [answer.status_code for answer in (first, second, third)] == [201, 201, 201], "nobody learns who has them"
    ids = [answer.json()["id"] for answer in (first, second, third)]
    assert len(set(ids)) == 3
    assert (listed(guarded, ours), listed(guarded, theirs)) == ([ids[0]], [ids[1]])
    assert set(listed(guarded, admin)) == set(ids)
    assert send(guarded, ours).status_code == 200
    assert guarded.delete(f"/v1/datasets/{ids[0]}", headers=ours).status_code == 204
    assert guarded.get(f"/v1/datasets/{ids[1]}/rows", headers=theirs).json()["rows"] == 2
    assert not files.dataset(ids[0]).exists()


def test_another_ones_data_set_is_not_there(guarded: TestClient, ours: Headers, theirs: Headers) -> None:
    path = f"/v1/datasets/{send(guarded, ours).json()['id']}"
    for answer in (
        guarded.get(path, headers=theirs),
        guarded.get(f"{path}/rows", headers=theirs),
        guarded.delete(path, headers=theirs),
        guarded.post("/v1/reviews", json={"dataset_id": path.rpartition("/")[2]}, headers=theirs),
    ):
        assert_problem(answer, 404, "not_found")
    assert guarded.get(path, headers=ours).status_code == 200


@pytest.fixture
def kept(store: Store) -> Callable[[WorkKind[Any]], Any]:
    """Work of any kind as a caller of team-a makes it."""

    def keep(kind: WorkKind[Any]) -> Any:
        return accept(store.within("team-a"), make_work(kind))

    return keep


@pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)
def test_another_ones_work_and_its_job_are_not_there(
    guarded: TestClient, ours: Headers, theirs: Headers, admin: Headers, store: Store, kind: WorkKind[Any], kept: Any
) -> None:
    made = kept(kind)
    assert (made.namespace, store.jobs.require(made.job_id).namespace) == ("team-a", "team-a")
    for path in (kind.path(made.id), f"/v1/jobs/{made.job_id}"):
        assert guarded.get(path, headers=ours).json()["namespace"] == "team-a"
        assert guarded.get(path, headers=admin).status_code == 200
        assert_problem(guarded.get(path, headers=theirs), 404, "not_found")
        assert_problem(guarded.delete(path, headers=theirs), 404, "not_found")
    assert listed(guarded, theirs, "jobs") == []
    assert listed(guarded, ours, "jobs") == [made.job_id]
    assert_problem(guarded.get(f"/v1/jobs/{made.job_id}/events", headers=theirs), 404, "not_found")
    assert not store.jobs.is_cancelled(made.job_id)


@pytest.mark.parametrize("end", ["finish", "fail", "delete"])
def test_ended_work_leaves_the_lists_of_its_namespace(store: Store, kept: Any, end: str) -> None:
    view = store.within("team-a")
    for kind in WORK_KINDS:
        made = kept(kind)
        write_data(store, made)
        {
            "finish": lambda made=made: finish(store, made, lambda current: current),
            "fail": lambda made=made: fail(store, made, {"code": "odd"}),
            "delete": lambda made=made: delete(store, made),
        }[end]()
    assert view.jobs.count_open() == 0
    left = [record for records in view.work.values() for record in records.all()]
    assert {record.namespace for record in left} <= {"team-a"}
    assert (left == []) == (end == "delete")


def test_a_namespace_may_have_so_many_jobs_and_no_more(
    make_client: Callable[..., TestClient], store: Store, ours: Headers, theirs: Headers, checkpoint: Checkpoint
) -> None:
    client = make_client(require_keys=True, max_jobs_per_namespace=2)
    store.within("team-a").checkpoints.create(checkpoint.model_copy(update={"id": "ckpt_a"}))
    rows = '{"text": "a", "label": "billing"}\n{"text": "b", "label": "access"}\n'
    dataset = client.post("/v1/datasets", files={"file": ("rows.jsonl", rows)}, headers=ours).json()["id"]
    bodies = [{"checkpoint_id": "ckpt_a", "dataset_id": dataset, "max_length": 16 + n} for n in range(3)]
    answers = [client.post("/v1/indexes", json=body, headers=ours) for body in bodies]
    assert [answer.status_code for answer in answers[:2]] == [202, 202]
    assert_problem(answers[2], 429, "too_many_requests")
    assert int(answers[2].headers["retry-after"]) > 0
    client.delete(f"/v1/jobs/{answers[0].json()['job_id']}", headers=ours)
    assert client.post("/v1/indexes", json=bodies[2], headers=ours).status_code == 202


def test_a_data_set_is_not_deleted_from_under_an_administrators_index(
    guarded: TestClient, ours: Headers, store: Store
) -> None:
    dataset = send(guarded, ours).json()["id"]
    accept(store, make_work(WORK_KINDS[0], spec={"checkpoint_id": "c", "dataset_id": dataset, "storage": "full"}))
    assert_problem(guarded.delete(f"/v1/datasets/{dataset}", headers=ours), 409, "resource_in_use")
