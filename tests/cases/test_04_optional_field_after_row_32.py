"""An optional field that first appears in row 40."""

from support.uploads.cases import case_folder, read_rows
from support.uploads.local_service import LocalService, to_jsonl

CASE = "04-optional-field-after-row-32"


def test_the_field_is_read_wherever_it_comes(service: LocalService) -> None:
    dataset = service.dataset(case_folder(CASE) / "rows.jsonl")
    assert dataset["columns"] == {"instruction": "instruction", "input": "input", "output": "output"}
    rows = service.rows(dataset)
    assert "### Input:\ncat" in rows[40]["row"]["prompt"]
    assert "### Input" not in rows[39]["row"]["prompt"]


def test_a_json_array_of_the_same_rows_is_the_same_data_set(service: LocalService) -> None:
    file = case_folder(CASE) / "rows.jsonl"
    lines = to_jsonl(read_rows(file))
    array = b"[" + lines.replace(b"\n", b",") + b"]"
    answer = service.client.post("/v1/datasets", files={"file": ("rows.json", array)})
    assert answer.json()["id"] == service.dataset(file)["id"]
