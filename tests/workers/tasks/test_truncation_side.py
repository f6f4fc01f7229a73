"""Rows that are too long are cut on the side that the tokenizer was saved with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.tiny import TinyCheckpoint, make_classifier, make_tagger
from support.uploads.adapters import accept, load_accepted
from transformers import AutoTokenizer

FILES = ("tokenizer.json", "tokenizer_config.json")
ROW = {"id": "r", "text": "refund my card it is late again", "label": 0}


def say_side(folder: Path, side: str) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "truncation_side": side}))


def read_with(tiny: TinyCheckpoint, row: dict[str, Any]) -> list[int]:
    loaded = load_accepted(accept(tiny.base, tiny.adapter), tiny.adapter, max_length=5)
    (encoded,) = loaded.task.tokenise([row])
    assert encoded.truncated
    return list(encoded.inputs["input_ids"])


@pytest.mark.parametrize("owner", ["base", "adapter"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_side_is_the_tokenizers(owner: str, side: str, tmp_path: Path) -> None:
    tiny = make_classifier(tmp_path)
    if owner == "adapter":
        for name in FILES:
            shutil.copyfile(tiny.base / name, tiny.adapter / name)
    say_side(getattr(tiny, owner), side)
    expected = AutoTokenizer.from_pretrained(tiny.base if owner == "base" else tiny.adapter)(
        ROW["text"], truncation=True, max_length=5
    )
    assert read_with(tiny, ROW) == expected["input_ids"]


def test_an_adapter_that_reads_the_end_is_another_checkpoint(tmp_path: Path) -> None:
    ids = set()
    for side in ("left", "right"):
        tiny = make_classifier(tmp_path / side)
        for name in FILES:
            shutil.copyfile(tiny.base / name, tiny.adapter / name)
        say_side(tiny.adapter, side)
        ids.add(accept(tiny.base, tiny.adapter).id)
    assert len(ids) == 2


def test_spans_before_the_cut_are_nobodys(tmp_path: Path) -> None:
    tiny = make_tagger(tmp_path)
    say_side(tiny.base, "left")
    spans = [{"start": 0, "end": 6, "label": "THING"}, {"start": 21, "end": 25, "label": "THING"}]
    row = {"id": "r", "text": ROW["text"], "label": spans}
    loaded = load_accepted(accept(tiny.base, tiny.adapter), tiny.adapter, max_length=5)
    (encoded,) = loaded.task.tokenise([row])
    assert [label for label in encoded.labels if label != -100] == [0, 3, 0]
