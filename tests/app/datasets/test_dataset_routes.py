"""Data sets over HTTP: streamed, limited, addressed by content."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.store.data.files import Files

ROWS = '{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n{"text": "c", "label": 0}\n'


def send(client: TestClient, content: str | bytes = ROWS, filename: str = "rows.jsonl", **fields: str) -> Any:
    return client.post("/v1/datasets", files={"file": (filename, content)}, data=fields)


def test_a_file_becomes_a_data_set_and_the_same_rows_the_same_one(client: TestClient) -> None:
    first, again = send(client), send(client, filename="other.jsonl")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.headers["location"] == f"/v1/datasets/{first.json()['id']}"
    assert (first.json()["rows"], first.json()["kind"]) == (3, "classification")


def test_rows_come_in_their_order_in_slices(client: TestClient) -> None:
    dataset_id = send(client).json()["id"]
    page = client.get(f"/v1/datasets/{dataset_id}/rows?offset=1&length=1").json()
    assert page == {
        "data": [{"row_index": 1, "row_id": "row-00000001", "row": {"text": "b", "label": 1}, "metadata": None}],
        "has_more": True,
        "next": 2,
        "rows": 3,
    }
    assert client.get(f"/v1/datasets/{dataset_id}/rows?offset=9").json()["data"] == []
    assert_problem(client.get(f"/v1/datasets/{dataset_id}/rows?offset=-1"), 422, "invalid_request")


NOTED = '{"text": "a", "label": 0, "source": "web", "score": 1}\n{"text": "b", "label": 1, "at": "2024-05-01"}\n'


def test_columns_without_a_role_stay_with_the_rows(client: TestClient) -> None:
    dataset = send(client, NOTED).json()
    assert dataset["metadata_columns"] == {"source": "string", "score": "number", "at": "time"}
    (problem,) = dataset["problems"]
    assert (problem["code"], problem["count"], problem["rows"]) == ("columns_not_read", 2, [0, 1])
    assert problem["names"] == ["source", "score", "at"]
    rows = client.get(f"/v1/datasets/{dataset['id']}/rows").json()["data"]
    assert [row["metadata"] for row in rows] == [{"source": "web", "score": 1}, {"at": "2024-05-01"}]
    assert [row["row"] for row in rows] == [{"text": "a", "label": 0}, {"text": "b", "label": 1}]


def test_the_same_rows_with_other_metadata_are_another_data_set(client: TestClient) -> None:
    ids = {send(client, content).json()["id"] for content in (NOTED, NOTED.replace("web", "app"), NOTED)}
    assert len(ids) == 2
    assert len({send(client, ROWS.replace('"text"', name)).json()["id"] for name in ('"text"', '"body"')}) == 2


def test_the_same_rows_again_say_how_they_came_this_time(client: TestClient) -> None:
    csv = "text,label\na,0\nb,1\nc,0\n"
    first, again = send(client, ROWS, name="mine").json(), send(client, csv, "rows.csv").json()
    assert (first["id"], first["name"], first["created_at"]) == (again["id"], again["name"], again["created_at"])
    assert (first["format"]["name"], again["format"]["name"]) == ("jsonl", "csv")
    assert send(client, csv, "rows.csv", name="ours").json()["name"] == "ours"
    assert client.get(f"/v1/datasets/{first['id']}").json()["name"] == "ours"


def test_the_format_says_how_a_file_was_read(client: TestClient) -> None:
    found = send(client, "text;label\na;0\nb;1\n", "rows.csv").json()["format"]
    assert (found["name"], found["delimiter"], found["quoting"], found["encoding"]) == ("csv", ";", "double", "utf-8")


def test_columns_and_label_names_are_fields_of_the_form(client: TestClient) -> None:
    columns = json.dumps({"text": "body", "label": "y"})
    answer = send(client, "body,y\nhello,1\n", "rows.csv", columns=columns, label_names='["no", "yes"]', name="mine")
    assert answer.json()["name"] == "mine"
    assert answer.json()["label_names"] == ["no", "yes"]


@pytest.mark.parametrize("names", ['["no", "yes"]', ["no", "yes"]])
def test_a_list_comes_as_json_or_an_item_per_field(client: TestClient, names: Any) -> None:
    files = {"file": ("rows.csv", "text,label\nhello,1\n")}
    answer = client.post("/v1/datasets", data={"label_names": names}, files=files)
    assert answer.status_code == 201, answer.text
    assert answer.json()["label_names"] == ["no", "yes"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"label_names": "no, yes"}, "invalid_request"),
        ({"label_names": ["x"] * 2_001}, "too_large"),
        ({"name": ["a", "b"]}, "invalid_request"),
    ],
)
def test_what_is_no_list_is_not_guessed_at(client: TestClient, fields: dict[str, Any], code: str) -> None:
    files = {"file": ("rows.csv", "text,label\nhello,1\n")}
    assert client.post("/v1/datasets", data=fields, files=files).json()["code"] == code


def test_lists_are_paged_newest_first(client: TestClient) -> None:
    ids = [send(client, f'{{"text": "row {number}"}}\n').json()["id"] for number in range(5)]
    seen, after = [], ""
    while True:
        page = client.get(f"/v1/datasets?limit=2{after}").json()
        seen += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            assert page["next"] is None
            break
        after = f"&after={page['next']}"
    assert sorted(seen) == sorted(ids)
    assert len(page["data"]) == 1


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        ("", "rows.jsonl", 422, "empty_file"),
        ('{"text": "a"}\n{broken\n', "rows.jsonl", 422, "broken_row"),
        ('{"a": 1, "b": 2}\n', "rows.jsonl", 422, "columns_unmatched"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "rows.png", 415, "unsupported_format"),
        (b"PAR1 not really", "rows.parquet", 422, "unreadable_file"),
    ],
)
def test_bad_files_are_refused_with_a_reason(
    client: TestClient, files: Files, content: str | bytes, name: str, status: int, code: str
) -> None:
    assert_problem(send(client, content, name), status, code)
    assert list(files.datasets.iterdir()) == []


def test_a_broken_line_is_named(client: TestClient) -> None:
    body = assert_problem(send(client, '{"text": "a"}\n{"text"\n'), 422, "broken_row")
    assert body["line"] == 2


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(
    make_client: Callable[..., TestClient], files: Files
) -> None:
    small = make_client(max_dataset_bytes=50)
    body = assert_problem(send(small, ROWS * 10), 413, "too_large")
    assert body["max_bytes"] == 50
    assert list((files.root / "tmp").iterdir()) == []


def test_more_rows_than_the_limit_are_refused(make_client: Callable[..., TestClient]) -> None:
    assert_problem(send(make_client(max_rows=2)), 413, "too_large")


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"colums": "{}"}, "columns"),
        ({"columns": "{broken"}, "JSON"),
        ({"columns": "[1]"}, "errors"),
        ({"label_names": '{"a": 1}'}, "errors"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(client: TestClient, fields: dict[str, str], hint: str) -> None:
    assert hint in assert_problem(send(client, **fields), 422, "invalid_request")["hint"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc', "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\nabc\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nabc\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_a_form_that_is_none_is_refused(client: TestClient, content: bytes, kind: str) -> None:
    answer = client.post("/v1/datasets", content=content, headers={"content-type": kind})
    assert_problem(answer, 422, "invalid_request")


def test_a_path_under_an_allowed_root_is_read(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "rows.jsonl").write_text(ROWS)
    answer = make_client(allowed_roots=[root]).post("/v1/datasets", json={"path": str(root / "rows.jsonl")})
    assert answer.status_code == 201


def test_paths_that_lead_elsewhere_are_refused(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = tmp_path / "rows.jsonl"
    outside.write_text(ROWS)
    (root / "link.jsonl").symlink_to(outside)
    rooted = make_client(allowed_roots=[root])
    for path in (outside, root / ".." / "rows.jsonl", root / "link.jsonl", "rows.jsonl", tmp_path / "none", "/a\0b"):
        assert_problem(rooted.post("/v1/datasets", json={"path": str(path)}), 403, "path_not_allowed")
    assert_problem(rooted.post("/v1/datasets", json={"path": str(root / "none")}), 404, "not_found")


def test_json_names_either_a_path_or_a_hub_id(make_client: Callable[..., TestClient]) -> None:
    client = make_client(hub_offline=True)
    assert_problem(client.post("/v1/datasets", json={}), 422, "invalid_request")
    assert_problem(client.post("/v1/datasets", json={"path": "/a", "hub_id": "a/b"}), 422, "invalid_request")
    assert_problem(client.post("/v1/datasets", json={"hub_id": "a/b"}), 422, "invalid_request")
    assert_problem(
        client.post("/v1/datasets", content=b"", headers={"content-type": "application/json"}), 422, "invalid_request"
    )
    assert_problem(
        client.post("/v1/datasets", content="a,b\n", headers={"content-type": "text/csv"}), 415, "unsupported_format"
    )


def test_deleting_removes_record_and_rows(client: TestClient, files: Files) -> None:
    dataset_id = send(client).json()["id"]
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert not files.dataset(dataset_id).exists()
    assert_problem(client.get(f"/v1/datasets/{dataset_id}"), 404, "not_found")


def test_a_data_set_under_an_index_stays(client: TestClient, index: dict[str, Any]) -> None:
    answer = client.delete(f"/v1/datasets/{index['spec']['dataset_id']}")
    assert assert_problem(answer, 409, "resource_in_use")["indexes"] == [index["id"]]
