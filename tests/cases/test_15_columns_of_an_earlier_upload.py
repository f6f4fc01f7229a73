"""The same rows under other column names."""

from support.uploads.cases import BERT, case_folder
from support.uploads.local_service import LocalService

CASE = "15-columns-of-an-earlier-upload"


def test_each_caller_sees_and_uses_its_own_columns(service: LocalService) -> None:
    case = case_folder(CASE)
    first, second = service.dataset(case / "first.jsonl"), service.dataset(case / "second.jsonl")
    assert first["columns"] == {"text": "text", "label": "label"}
    assert second["columns"] == {"text": "body", "label": "y"}
    assert (first["name"], second["name"]) == ("first.jsonl", "second.jsonl")
    checkpoint = service.checkpoint(
        BERT, case_folder("03-class-names-in-another-order") / "adapter", label_names=["a", "b", "c"]
    )
    index = service.index(checkpoint, second, storage="full")
    answer = service.query(index, examples=[{"body": "good film", "y": 1}])
    assert answer["results"][0]["example"] == {"text": "good film", "label": 1}
