"""Hints about columns, followed: what each one says to send makes the rows that it speaks of."""

import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

Row = dict[str, Any]
_MAPPING = re.compile(r"columns(?:=| with )(\{[^{}]*\}|\"[^\"]*\": \"\")")
JUDGED = {"question": "where is my card", "answer": "here", "label": 1}
PAIRS: list[tuple[str, Row, list[str]]] = [
    ("answers judged by a number", JUDGED, ["completion", "classification"]),
    ("answers judged by a name", {**JUDGED, "label": "right"}, ["completion", "classification"]),
    ("answers judged in a context", {**JUDGED, "context": "c"}, ["completion", "classification"]),
    ("answers that are right or not", {"question": "q", "answer": "a", "is_correct": True}, ["completion"]),
    ("answers that are good or not", {"prompt": "q", "response": "a", "label": True}, ["completion"]),
    ("a label of another name", {"premise": "p", "hypothesis": "h", "gold_label": "neutral"}, ["classification"]),
    ("a claim", {"claim": "c", "evidence": "e", "label": "SUPPORTS"}, ["classification"]),
    ("numbers", {"sentence1": "a", "sentence2": "b", "score": 0.5}, ["regression"]),
    ("longer names", {"instruction": "i", "chosen_response": "c", "rejected_response": "r"}, ["preference"]),
    ("an article", {"article": "a", "highlights": "h", "id": "1"}, ["completion"]),
    ("a summary", {"document": "a", "summary": "h"}, ["text"]),
    ("a vector in JSON", {"text": "t", "labels": "[0, 1, 0]"}, ["multi_label_classification"]),
    ("a vector in words", {"text": "t", "label": "0 1 0"}, ["multi_label_classification"]),
    ("a vector in digits", {"text": "t", "label": "010"}, ["multi_label_classification"]),
    ("a vector with commas", {"text": "t", "labels": "0,1,0"}, ["multi_label_classification"]),
    ("a history", {"instruction": "i", "output": "o", "history": [["a", "b"]]}, ["completion"]),
]
#: Rows that no mapping helps, and what is said of them.
WRITTEN: list[tuple[str, Row, str]] = [
    ("choices", {"question": "q", "choices": ["a", "b"], "label": 1}, "right answer"),
    ("choices in columns", {"sent1": "s", "ending0": "a", "ending1": "b", "label": 0}, "right answer"),
    ("a part of a text", {"question": "q", "context": "c", "answers": {"text": ["a"]}}, "['text'][0]"),
    ("segments", {"segments": [{"label": False, "text": "q"}, {"label": True, "text": "a"}]}, "last segments"),
    ("likeness", {"anchor": "a", "positive": "p", "negative": "n"}, "comparing them with each other"),
]


def send(client: TestClient, row: Row, columns: dict[str, str] | None = None) -> Any:
    fields = {} if columns is None else {"columns": json.dumps(columns)}
    return client.post("/v1/datasets", files={"file": ("rows.jsonl", json.dumps(row) + "\n")}, data=fields)


@pytest.mark.parametrize(("row", "kinds"), [case[1:] for case in PAIRS], ids=[case[0] for case in PAIRS])
def test_each_mapping_in_a_hint_makes_rows(client: TestClient, row: Row, kinds: list[str]) -> None:
    refused = send(client, row)
    assert refused.status_code == 422
    mappings = [one if one.startswith("{") else f"{{{one}}}" for one in _MAPPING.findall(refused.json()["hint"])]
    answers = [send(client, row, json.loads(mapping)) for mapping in mappings if "<column>" not in mapping]
    found = [answer.json().get("kind", answer.json()) for answer in answers]
    assert [kind for kind in found if kind in kinds][: len(kinds)] == kinds
    assert all(answer.status_code in (200, 201) for answer in answers)


@pytest.mark.parametrize(("row", "said"), [case[1:3] for case in WRITTEN], ids=[case[0] for case in WRITTEN])
def test_rows_for_losses_that_are_not_scored_are_told_what_they_are(client: TestClient, row: Row, said: str) -> None:
    refused = send(client, row)
    assert refused.status_code == 422
    assert said in refused.json()["hint"]


def test_choices_beside_a_question_are_not_passed_over(client: TestClient) -> None:
    row = {"question": "q", "A": "x", "B": "y", "answer": "A"}
    assert "put the choices into the prompt" in send(client, row).json()["hint"]
    taken = send(client, row, {"a": "", "b": ""})
    assert taken.json()["kind"] == "completion"


def test_a_cleaned_file_that_is_sent_again_is_told_of_its_quotes(client: TestClient) -> None:
    made = send(client, {"text": "=1+1", "label": "sum"}).json()
    for form, told in (("csv", ["quotes_before_signs"]), ("jsonl", [])):
        content = client.get(f"/v1/datasets/{made['id']}/export", params={"format": form}).content
        again = client.post("/v1/datasets", files={"file": (f"rows.{form}", content)}).json()
        assert [one["code"] for one in again["problems"] if one["code"] != "columns_not_read"] == told
