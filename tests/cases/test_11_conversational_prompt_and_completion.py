"""Prompt and completion that are lists of messages; messages as a struct of lists."""

from support.uploads.cases import LLAMA, case_folder
from support.uploads.local_service import LocalService

CASE = "11-conversational-prompt-and-completion"


def test_lists_make_a_conversation_with_the_loss_on_the_completion(service: LocalService) -> None:
    dataset = service.dataset(case_folder(CASE) / "rows.jsonl")
    assert dataset["kind"] == "conversation"
    checkpoint = service.checkpoint(LLAMA, case_folder("13-assistant-speaks-first") / "adapter")
    preview = service.preview(checkpoint, dataset)
    assert preview["request"]["loss"] == "completion"
    (row,) = preview["rows"]
    assert row["rendered"] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
    carried = [token for token, carries in zip(row["tokens"], row["supervised"], strict=True) if carries]
    assert carried == [*"hello", "<|im_end|>", "Ċ"]


def test_a_struct_of_lists_is_a_list_of_messages(service: LocalService) -> None:
    dataset = service.dataset(case_folder(CASE) / "struct_of_lists.parquet")
    first = service.rows(dataset)[0]["row"]
    assert dataset["kind"] == "conversation"
    assert first["messages"] == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
