"""Tables that are no rows of any kind: the hint names what they are, and no mapping makes wrong rows."""

import json

import pytest
from support.uploads.cases import case_folder
from support.uploads.local_service import LocalService

CASE = "12-hints-that-lead-astray"
NAMED = {
    "tokenised.jsonl": ("token ids", "before they were tokenised"),
    "pandas_split.json": ("orient='split'", 'orient="records"'),
    "wrapped.json": ("under 'data'", "content['data']"),
    "jsonl_named.csv": ("holds JSON lines", ".jsonl"),
}


@pytest.mark.parametrize("name", NAMED)
def test_the_refusal_names_what_the_file_is(service: LocalService, name: str) -> None:
    answer = service.send_dataset(case_folder(CASE) / name)
    assert answer.status_code == 422
    problem = answer.json()
    what, how = NAMED[name]
    assert what in problem["detail"]
    assert how in problem["hint"]


def test_preference_pairs_are_rows_of_their_own_kind(service: LocalService) -> None:
    dataset = service.dataset(case_folder(CASE) / "preference.jsonl")
    assert dataset["kind"] == "preference"
    (row,) = service.rows(dataset)
    assert row["row"] == {"prompt": "hi", "chosen": "hello", "rejected": "go away"}


def test_the_chosen_answers_alone_name_what_is_not_read(service: LocalService) -> None:
    columns = '{"prompt": "prompt", "completion": "chosen"}'
    dataset = service.dataset(case_folder(CASE) / "preference.jsonl", columns=columns)
    (row,) = service.rows(dataset)
    assert row["row"] == {"prompt": "hi", "completion": "hello"}
    assert row["metadata"] == {"rejected": "go away"}
    assert dataset["problems"][0]["names"] == ["rejected"]


def test_no_hint_holds_a_mapping(service: LocalService) -> None:
    for name in NAMED:
        assert "columns=" not in json.dumps(service.send_dataset(case_folder(CASE) / name).json())
