"""The adapter's folder holds the tokenizer and chat template it was trained with: they decide what is read."""

import shutil
from pathlib import Path

from support.uploads.cases import LLAMA, case_folder
from support.uploads.local_service import LocalService

CASE = "02-adapter-has-its-own-chat-template"


def test_the_adapters_template_is_rendered_and_the_loss_falls_where_its_marks_say(service: LocalService) -> None:
    case = case_folder(CASE)
    checkpoint = service.checkpoint(LLAMA, case / "adapter")
    (row,) = service.preview(checkpoint, service.dataset(case / "rows.jsonl"))["rows"]
    assert row["rendered"] == "### Human: hi there\n### Assistant: hello<|im_end|>"
    supervised = "".join(token for token, carries in zip(row["tokens"], row["supervised"], strict=True) if carries)
    assert supervised == "hello<|im_end|>"


def test_the_record_says_which_tokenizer_and_template_are_read_with(service: LocalService, tmp_path: Path) -> None:
    case = case_folder(CASE)
    own = service.checkpoint(LLAMA, case / "adapter")
    bare = Path(shutil.copytree(case / "adapter", tmp_path / "bare", copy_function=shutil.copyfile))
    for name in own["tokenizer"]["files"]:
        (bare / name).unlink()
    without = service.checkpoint(LLAMA, bare)
    assert without["id"] != own["id"]
    assert set(own["tokenizer"]["files"]) == {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert (own["tokenizer"]["source"], own["tokenizer"]["chat_template_source"]) == ("adapter", "adapter")
    assert (without["tokenizer"]["source"], without["tokenizer"]["chat_template_source"]) == ("base", "base")
    assert own["tokenizer"]["chat_template_digest"] != without["tokenizer"]["chat_template_digest"]
    assert own["tokenizer"]["vocabulary"] == without["tokenizer"]["vocabulary"] == 259
