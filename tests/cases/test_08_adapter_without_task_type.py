"""An adapter trained without a task type: PEFT writes which class the base was, and nothing more is needed."""

from support.uploads.cases import LLAMA, case_folder
from support.uploads.local_service import LocalService


def test_it_is_taken_with_and_without_the_task(service: LocalService) -> None:
    case = case_folder("08-adapter-without-task-type")
    asked = service.checkpoint(LLAMA, case / "adapter", task="causal_lm")
    read = service.checkpoint(LLAMA, case / "adapter")
    assert asked["task"] == read["task"] == "causal_lm"
    assert asked["id"] == read["id"]
    index = service.index(asked, service.dataset(case / "rows.jsonl"), storage="full")
    assert index["rows_indexed"] == 8
