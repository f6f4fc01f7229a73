"""A review leads somewhere: to a cleaned data set, to files, and back from other tools."""

import csv
import io
import json
import zipfile
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.stories.reviewing import Reviewing

from app.reviews.label_studio import REMOVE_CHOICE


@pytest.fixture
def decided(reviewing: Reviewing) -> Reviewing:
    """Row 1 removed, row 3 relabelled from billing to access, row 4 kept, row 5 put off."""
    reviewing.decide(
        {"row_index": 1, "action": "remove"},
        {"row_index": 3, "action": "relabel", "label": "access"},
        {"row_index": 4, "action": "keep"},
        {"row_index": 5, "action": "later"},
        by="ada",
    )
    return reviewing


def export(reviewing: Reviewing, **parameters: str) -> Any:
    answer = reviewing.client.get(f"{reviewing.path}/export", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer


def hand_back(reviewing: Reviewing, text: str, **fields: str) -> Any:
    return reviewing.client.post(f"{reviewing.path}/import", files={"file": ("back", text.encode())}, data=fields)


def test_applying_makes_a_data_set_with_a_manifest(client: TestClient, decided: Reviewing, dataset_id: str) -> None:
    answer = decided.post("apply")
    assert (answer["rows_in"], answer["rows_out"], answer["removed"], answer["relabelled"]) == (12, 11, 1, 1)
    made = client.get(f"/v1/datasets/{answer['dataset_id']}").json()
    manifest = made["derived_from"]
    assert (manifest["dataset_id"], manifest["review_version"], manifest["reviewers"]) == (dataset_id, 1, ["ada"])
    rows = client.get(f"/v1/datasets/{made['id']}/rows").json()["data"]
    assert [row["row"]["text"] for row in rows][:3] == ["ticket 0", "ticket 2", "ticket 3"]
    assert rows[2]["row"]["label"] == "access"
    assert [row["row_id"] for row in rows][2] == "row-00000003"


def test_applying_again_gives_the_same_data_set(client: TestClient, decided: Reviewing) -> None:
    first = decided.post("apply")
    again = client.post(f"{decided.path}/apply")
    assert (again.status_code, again.json()["dataset_id"]) == (200, first["dataset_id"])


def test_a_review_that_changes_nothing_is_not_applied(client: TestClient, reviewing: Reviewing) -> None:
    reviewing.decide({"row_index": 4, "action": "keep"})
    assert_problem(client.post(f"{reviewing.path}/apply"), 409, "conflict")


def test_a_review_that_leaves_no_row_is_not_applied(client: TestClient, reviewing: Reviewing) -> None:
    reviewing.post("decisions/bulk", row_indexes=list(range(12)), action="remove")
    assert_problem(client.post(f"{reviewing.path}/apply"), 422, "empty_file")


def test_cleaned_rows_come_in_the_columns_that_were_sent(client: TestClient) -> None:
    lines = "".join(f'{{"body": "t{n}", "y": {n % 2}, "y_text": "{["no", "yes"][n % 2]}"}}\n' for n in range(4))
    form = {"columns": '{"text": "body", "label": "y"}', "label_names": '["no", "yes"]'}
    dataset = client.post("/v1/datasets", files={"file": ("r.jsonl", lines)}, data=form).json()
    review = client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()
    reviewing = Reviewing(client, review["id"])
    reviewing.decide({"row_index": 0, "action": "relabel", "label": "yes"})
    rows = [json.loads(line) for line in export(reviewing).text.splitlines()]
    assert (rows[0]["body"], rows[0]["y"], rows[0]["label_name"]) == ("t0", 1, "yes")
    assert len(rows) == 4


def test_every_mode_has_its_rows(decided: Reviewing) -> None:
    assert len(export(decided, mode="cleaned").text.splitlines()) == 11
    assert len(export(decided, mode="annotated").text.splitlines()) == 12
    (removed,) = export(decided, mode="removed").text.splitlines()
    assert json.loads(removed)["row_index"] == 1


def test_annotated_rows_keep_their_label_beside_the_decision(decided: Reviewing) -> None:
    rows = list(csv.DictReader(io.StringIO(export(decided, mode="annotated", format="csv").text)))
    assert (rows[3]["label"], rows[3]["action"], rows[3]["reviewed_label"]) == ("billing", "relabel", "access")
    assert rows[0]["action"] == ""


def test_parquet_has_the_same_rows(decided: Reviewing) -> None:
    table = pq.read_table(io.BytesIO(export(decided, format="parquet", mode="annotated").content))
    assert table.num_rows == 12
    assert table.column("by").to_pylist()[1] == "ada"


def test_cells_that_a_spreadsheet_would_run_are_neutralised(client: TestClient) -> None:
    line = json.dumps({"text": "=cmd|' /C calc'!A0", "label": "a"}) + "\n" + json.dumps({"text": "x", "label": "b"})
    dataset = client.post("/v1/datasets", files={"file": ("r.jsonl", line)}).json()
    review = client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()
    (row, _) = csv.DictReader(io.StringIO(export(Reviewing(client, review["id"]), format="csv").text))
    assert row["text"].startswith("'=")


def test_what_went_out_annotated_comes_back(client: TestClient, decided: Reviewing, dataset_id: str) -> None:
    sent = export(decided, mode="annotated", format="csv").text
    other = Reviewing(client, client.post("/v1/reviews", json={"dataset_id": dataset_id}).json()["id"])
    answer = hand_back(other, sent, by="bob")
    assert (answer.status_code, answer.json()["applied"]) == (200, 4)
    assert other.decisions() == decided.decisions()


def test_label_studio_gets_tasks_and_gives_decisions_back(decided: Reviewing) -> None:
    tasks = json.loads(export(decided, format="label-studio", mode="annotated").content)
    assert [task["data"]["row_index"] for task in tasks] == list(range(12))
    assert tasks[3]["annotations"][0]["result"][0]["value"] == {"choices": ["access"]}
    assert tasks[1]["annotations"][0]["result"][0]["value"] == {"choices": [REMOVE_CHOICE]}
    result = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["delivery"]}}
    tasks[6]["annotations"] = [{"result": [result], "was_cancelled": False}]
    answer = hand_back(decided, json.dumps(tasks))
    assert answer.status_code == 200, answer.text
    assert decided.decisions()[6] == "relabel"
    assert decided.decisions()[4] == "keep"


def test_the_labelling_configuration_names_every_label(decided: Reviewing) -> None:
    view = ElementTree.fromstring(export(decided, format="label-studio-config").text)
    assert [choice.get("value") for choice in view.iter("Choice")] == ["access", "billing", "delivery", REMOVE_CHOICE]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("row_index,action\n99,keep\n", "invalid_request"),
        ("row_index,action\n1,burn\n", "invalid_request"),
        ("row_id,action\nnobody,keep\n", "invalid_request"),
        ("row_index,action,reviewed_label\n1,relabel,\n", "invalid_request"),
        ("row_index,action,reviewed_label\n1,relabel,acess\n", "label_unknown"),
        ("row_index,action\n", "unreadable_file"),
        ("[{]", "unreadable_file"),
        ('[{"id": 1}]', "unreadable_file"),
        ("{not json\n", "unreadable_file"),
        ("\x00\x01", "unreadable_file"),
    ],
)
def test_a_file_that_cannot_be_taken_changes_nothing(reviewing: Reviewing, text: str, code: str) -> None:
    assert_problem(hand_back(reviewing, text), 422, code)
    assert reviewing.decisions() == {}


@pytest.fixture
def cleaned(client: TestClient, decided: Reviewing) -> Reviewing:
    """A review of the data set that the decisions make, whose rows stand elsewhere."""
    made = decided.post("apply")["dataset_id"]
    return Reviewing(client, client.post("/v1/reviews", json={"dataset_id": made}).json()["id"])


@pytest.mark.parametrize("form", ["csv", "jsonl", "label-studio", "argilla"])
def test_decisions_on_other_rows_are_refused(decided: Reviewing, cleaned: Reviewing, form: str) -> None:
    if form == "argilla":
        records = argilla_folder(decided)["records.json"]
        records[3]["responses"] = {"label": [{"value": "access", "status": "submitted", "user_id": "u"}]}
        sent = json.dumps(records)
    else:
        sent = export(decided, mode="annotated", format=form).text
    answer = hand_back(cleaned, sent)
    assert_problem(answer, 422, "invalid_request")
    assert "here, and the file has another row there" in answer.json()["detail"]
    assert cleaned.decisions() == {}


def test_decisions_on_other_texts_under_the_same_ids_are_refused(client: TestClient, decided: Reviewing) -> None:
    rows = "".join(json.dumps({"text": f"film {row}", "label": "ab"[row % 2]}) + "\n" for row in range(12))
    other = client.post("/v1/datasets", files={"file": ("r.jsonl", rows)}).json()
    review = Reviewing(client, client.post("/v1/reviews", json={"dataset_id": other["id"]}).json()["id"])
    for form in ("csv", "label-studio"):
        answer = hand_back(review, export(decided, mode="annotated", format=form).text)
        assert "of another text" in answer.json()["detail"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_decisions_on_other_conversations_under_the_same_ids_are_refused(client: TestClient, form: str) -> None:
    reviews = []
    for asked in ("where is it", "when was it"):
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": "here"}]
        sent = json.dumps({"messages": turns}) + "\n" + json.dumps({"messages": turns[::-1] + turns}) + "\n"
        dataset = client.post("/v1/datasets", files={"file": ("r.jsonl", sent)}).json()
        made = client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()
        reviews.append(Reviewing(client, made["id"]))
    reviews[0].decide({"row_index": 0, "action": "remove"})
    sent = export(reviews[0], mode="annotated", format=form).text
    assert "of another text" in hand_back(reviews[1], sent).json()["detail"]
    assert hand_back(reviews[0], sent).json()["applied"] == 1


def test_a_text_in_a_column_that_is_called_as_a_decisions_is_the_rows(client: TestClient) -> None:
    sent = "".join(json.dumps({"note": f"text {row}", "by": f"id-{row}", "label": "ab"[row]}) + "\n" for row in (0, 1))
    columns = json.dumps({"text": "note", "id": "by", "label": "label"})
    dataset = client.post("/v1/datasets", files={"file": ("r.jsonl", sent)}, data={"columns": columns}).json()
    review = Reviewing(client, client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()["id"])
    review.decide({"row_index": 1, "action": "remove", "note": "spam"}, by="ada")
    for form in ("csv", "jsonl"):
        answer = hand_back(review, export(review, mode="annotated", format=form).text)
        assert (answer.status_code, answer.json().get("applied")) == (200, 1), answer.text


def test_a_file_that_a_spreadsheet_has_had_comes_back(client: TestClient) -> None:
    rows = [
        {"id": "a", "text": "=1+2  is\tit", "label": "-neg", "note": "mine", "row_index": 7},
        {"id": "b", "text": "@x " + "word " * 9000, "label": "+pos", "note": "yours", "row_index": 8},
    ]
    sent = "".join(json.dumps(row) + "\n" for row in rows)
    dataset = client.post("/v1/datasets", files={"file": ("r.jsonl", sent)}).json()
    review, other = (
        Reviewing(client, client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()["id"]) for _ in "12"
    )
    review.decide({"row_index": 0, "action": "relabel", "label": "+pos", "note": "=3+4"})
    review.decide({"row_index": 1, "action": "remove"})
    found = list(csv.DictReader(io.StringIO(export(review, mode="annotated", format="csv").text)))
    assert [(row["row_index"], row["row.row_index"], row["row.note"]) for row in found] == [
        ("0", "7", "mine"),
        ("1", "8", "yours"),
    ]
    found[1]["text"] = found[1]["text"][:32767]  # as much as a cell holds
    back = io.StringIO()
    writer = csv.DictWriter(back, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    assert hand_back(other, back.getvalue()).status_code == 200
    (first, second) = sorted(client.get(f"{other.path}/decisions").json()["data"], key=lambda one: one["row_index"])
    assert (first["label"], first["note"], second["action"]) == ("+pos", "=3+4", "remove")


def test_long_texts_come_back(client: TestClient) -> None:
    rows = "".join(
        json.dumps({"text": f"{number} " + "word " * 40_000, "label": "ab"[number]}) + "\n" for number in (0, 1)
    )
    dataset = client.post("/v1/datasets", files={"file": ("r.jsonl", rows)}).json()
    review = Reviewing(client, client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).json()["id"])
    review.decide({"row_index": 1, "action": "remove"})
    assert hand_back(review, export(review, mode="annotated", format="csv").text).json()["applied"] == 1


def test_the_last_change_is_taken_back_without_a_body(client: TestClient, decided: Reviewing) -> None:
    answer = client.post(f"{decided.path}/undo")
    assert (answer.status_code, answer.json()["applied"]) == (200, 4)


def test_rows_are_found_by_their_ids_too(reviewing: Reviewing) -> None:
    answer = hand_back(reviewing, '{"row_id": "row-00000002", "action": "remove", "note": "spam"}\n')
    assert answer.status_code == 200, answer.text
    assert reviewing.decisions() == {2: "remove"}


def argilla_folder(decided: Reviewing, mode: str = "annotated") -> dict[str, Any]:
    """Files of the folder by name, parsed."""
    content = export(decided, format="argilla", mode=mode).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_argilla_gets_the_folder_that_it_reads(decided: Reviewing) -> None:
    folder = argilla_folder(decided)
    assert list(folder) == [".argilla/dataset.json", ".argilla/settings.json", "records.json"]
    (question,) = folder[".argilla/settings.json"]["questions"]
    options = [option["value"] for option in question["settings"]["options"]]
    assert set(options) == {"billing", "access", "delivery", REMOVE_CHOICE}
    records = folder["records.json"]
    assert [record["id"] for record in records] == [str(row) for row in range(12)]
    assert records[3]["fields"] == {"text": "ticket 3", "given_label": "billing"}
    suggested = {row: (one["suggestions"].get("label") or {}).get("value") for row, one in enumerate(records)}
    assert (suggested[1], suggested[3], suggested[4], suggested[5]) == (REMOVE_CHOICE, "access", "access", None)
    assert argilla_folder(decided, "removed")["records.json"][0]["id"] == "1"


def test_records_of_argilla_come_back_as_decisions(reviewing: Reviewing) -> None:
    records = argilla_folder(reviewing)["records.json"]
    for row, choice in ((0, "billing"), (1, REMOVE_CHOICE), (2, "billing")):
        records[row]["responses"] = {"label": [{"value": choice, "status": "submitted", "user_id": "u1"}]}
    records[3]["responses"] = {"label": [{"value": "access", "status": "draft", "user_id": "u1"}]}
    answer = hand_back(reviewing, json.dumps(records), by="bob")
    assert answer.json()["applied"] == 3
    assert reviewing.decisions() == {0: "keep", 1: "remove", 2: "relabel"}
    broken = hand_back(reviewing, json.dumps([{"fields": {}, "responses": {"label": [{"value": "x"}]}}]))
    assert_problem(broken, 422, "unreadable_file")
