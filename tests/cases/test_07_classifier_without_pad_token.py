"""A decoder as classifier whose tokenizer has no padding token and ends texts with EOS: the answer is read at EOS."""

import json
import shutil
from pathlib import Path

import pytest
from support.uploads.cases import assert_right, case_folder, read_json
from support.uploads.local_service import LocalService


@pytest.mark.parametrize("padding", [0, None, -1])
def test_the_answer_is_read_where_the_model_reads_it_of_a_row_alone(
    padding: int | None, service: LocalService, tmp_path: Path
) -> None:
    case = case_folder("07-classifier-without-pad-token")
    base = Path(shutil.copytree(case / "base", tmp_path / "base", copy_function=shutil.copyfile))
    (base / "config.json").write_text(json.dumps({**read_json(base / "config.json"), "pad_token_id": padding}))
    checkpoint = service.checkpoint(base, case / "adapter")
    index = service.index(checkpoint, service.dataset(case / "rows.jsonl"), storage="full", max_length=64)
    assert_right(service.scores(index, read_json(case / "test.json")), case)
