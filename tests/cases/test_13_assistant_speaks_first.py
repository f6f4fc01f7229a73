"""A conversation that begins with the assistant."""

from support.uploads.cases import LLAMA, case_folder
from support.uploads.local_service import LocalService


def test_the_loss_falls_on_both_turns_of_the_assistant(service: LocalService) -> None:
    case = case_folder("13-assistant-speaks-first")
    checkpoint = service.checkpoint(LLAMA, case / "adapter")
    (row,) = service.preview(checkpoint, service.dataset(case / "rows.jsonl"))["rows"]
    carried = [token for token, carries in zip(row["tokens"], row["supervised"], strict=True) if carries]
    assert carried == [*"Welcome!", "<|im_end|>", "Ċ", *"hello", "<|im_end|>", "Ċ"]
