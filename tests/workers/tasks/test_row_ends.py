"""Rows end as the trainer's version ended them, where its files say which that was.

What each version of TRL and Unsloth does is written down here by hand, from its source.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import accept, load_accepted, make_adapter
from support.uploads.pickled import save
from transformers import AutoTokenizer

from influence.contracts.checkpoint import Checkpoint
from workers.rows import IGNORED

TEMPLATE = (
    "{% for message in messages %}{{ message.role }} {{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
ASKED, SAID, OTHER = "where is my card", " please help", " slow app"
TEXT, ANSWER = {"text": ASKED}, {"prompt": ASKED, "completion": SAID}
TALK = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
OLD_SFT: dict[str, Any] = {"chars_per_token": None, "max_seq_length": 64}
SFTS: dict[str, dict[str, Any]] = {
    "0.15.2": OLD_SFT,
    "0.16.1": {**OLD_SFT, "max_length": 64},
    "0.17.0": {**OLD_SFT, "max_length": 64, "eos_token": None, "completion_only_loss": None},
    "1.16.0": {"max_length": 64, "eos_token": None, "completion_only_loss": None},
}
DPOS: dict[str, dict[str, Any]] = {
    "0.11.4": {"label_pad_token_id": -100},
    "0.28.0": {"label_pad_token_id": -100, "use_weighting": False},
    "1.16.0": {"pad_to_multiple_of": None, "use_weighting": False},
}
Say = Callable[[Path, str, str], None]


def say_by_settings(folder: Path, way: str, version: str) -> None:
    fields = {"sft": SFTS, "dpo": DPOS}[way][version]
    save(folder, f"trl.trainer.{way}_config.{way.upper()}Config", **fields)


def say_by_card(folder: Path, way: str, version: str) -> None:
    versions = f"### Framework versions\n\n- TRL: {version}\n- Transformers: 4.50.0\n"
    (folder / "README.md").write_text(f"---\ntags:\n- trl\n- {way}\n---\n# Model\n\n{versions}")


BOTH = pytest.mark.parametrize("say", [say_by_settings, say_by_card])


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    """A model whose tokenizer writes <s> before every text and </s> behind it."""
    made = make_causal(tmp_path_factory.mktemp("ending"))
    tokenizer = AutoTokenizer.from_pretrained(made.base)
    start = (tokenizer.bos_token, tokenizer.bos_token_id)
    end = (tokenizer.eos_token, tokenizer.eos_token_id)
    file = made.base / "tokenizer.json"
    around = [{"SpecialToken": {"id": start[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    processor = {
        "type": "TemplateProcessing",
        "single": [*around, {"SpecialToken": {"id": end[0], "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {one[0]: {"id": one[0], "ids": [one[1]], "tokens": [one[0]]} for one in (start, end)},
    }
    file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": processor}))
    (made.base / "chat_template.jinja").write_text(TEMPLATE)
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    """A model whose tokenizer writes nothing of its own."""
    made = make_causal(tmp_path_factory.mktemp("plain"))
    file = made.base / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": None}))
    (made.base / "chat_template.jinja").write_text(TEMPLATE)
    return made


def send(made: TinyCheckpoint, folder: Path, way: str, version: str, say: Say) -> Checkpoint:
    make_adapter(made.base, folder, target_modules=["q_proj"])
    say(folder, way, version)
    return accept(made.base, folder)


def ends_of(made: TinyCheckpoint, checkpoint: Checkpoint, folder: Path, row: dict[str, Any]) -> tuple[int, int]:
    """How many EOS stand at the end of a row, and how many of them carry loss."""
    training = checkpoint.training
    assert training is not None
    loss = training.completion_loss if "completion" in row else "all"
    (encoded,) = load_accepted(checkpoint, folder, loss=None if "text" in row else loss).task.tokenise(
        [{"id": "r", **row}]
    )
    end = AutoTokenizer.from_pretrained(made.base).eos_token_id
    ids, labels = encoded.inputs["input_ids"], encoded.labels
    count = next(place for place, token in enumerate([*reversed(ids), None]) if token != end)
    return count, sum(label == end for label in labels[len(ids) - count :])


@BOTH
@pytest.mark.parametrize(
    ("version", "text", "talk", "own"),
    [("0.15.2", 0, 0, 1), ("0.16.1", 1, 1, 1), ("0.17.0", 1, 0, 2), ("1.16.0", 1, 0, 2)],
)
def test_rows_of_sft_end_as_the_version_of_trl_ended_them(
    plain: TinyCheckpoint,
    ending: TinyCheckpoint,
    tmp_path: Path,
    say: Say,
    version: str,
    text: int,
    talk: int,
    own: int,
) -> None:
    (tmp_path / "plain").mkdir()
    checkpoint = send(plain, tmp_path / "plain", "sft", version, say)
    found = [ends_of(plain, checkpoint, tmp_path / "plain", row) for row in (TEXT, ANSWER, {"messages": TALK})]
    assert found == [(text, text), (text, text), (talk, talk)]
    (tmp_path / "ending").mkdir()
    checkpoint = send(ending, tmp_path / "ending", "sft", version, say)
    assert [ends_of(ending, checkpoint, tmp_path / "ending", row) for row in (TEXT, ANSWER)] == [(own, own)] * 2


@BOTH
def test_all_of_a_completion_carried_loss_before_there_was_a_mask_of_it(
    plain: TinyCheckpoint, tmp_path: Path, say: Say
) -> None:
    for version, loss in (("0.15.2", "all"), ("0.16.1", "all")):
        (tmp_path / version).mkdir()
        training = send(plain, tmp_path / version, "sft", version, say).training
        assert training is not None
        assert training.completion_loss == loss


@BOTH
def test_dpo_to_0_28_encoded_prompt_and_answers_apart_and_ended_each_answer(
    ending: TinyCheckpoint, tmp_path: Path, say: Say
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ending.base)
    checkpoint = send(ending, tmp_path, "dpo", "0.28.0", say)
    task = load_accepted(checkpoint, tmp_path).task
    (row,) = task.tokenise([{"id": "r", "prompt": ASKED, "chosen": SAID, "rejected": OTHER}])
    before = tokenizer(ASKED, add_special_tokens=False).input_ids
    for side, answer in zip(row.inputs["sides"], (SAID, OTHER), strict=True):
        after = [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        assert side.inputs["input_ids"] == before + after
        assert side.labels == [IGNORED] * len(before) + after
    turns = {name: [{"role": "assistant", "content": said}] for name, said in (("chosen", SAID), ("rejected", OTHER))}
    (row,) = task.tokenise([{"id": "r", "prompt": TALK[:1], **turns}])
    asked = tokenizer(f"user {ASKED}<|im_end|>\nassistant ", add_special_tokens=False).input_ids
    said = [*tokenizer(f"{SAID}<|im_end|>\n", add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    assert row.inputs["sides"][0].inputs["input_ids"] == asked + said


@BOTH
@pytest.mark.parametrize(("version", "ends"), [("0.11.4", None), ("0.28.0", "apart"), ("1.16.0", "in_words")])
def test_how_dpo_ended_rows_is_read(
    plain: TinyCheckpoint, tmp_path: Path, say: Say, version: str, ends: str | None
) -> None:
    training = send(plain, tmp_path, "dpo", version, say).training
    assert training is not None
    assert training.ends == ends


def test_unsloth_ends_texts_as_the_tokenizer_does(
    plain: TinyCheckpoint, ending: TinyCheckpoint, tmp_path: Path
) -> None:
    made_of = "UnslothSFTTrainer.UnslothSFTConfig"
    for made, own in ((plain, 0), (ending, 1)):
        folder = tmp_path / str(own)
        folder.mkdir()
        make_adapter(made.base, folder, target_modules=["q_proj"])
        save(folder, made_of, eos_token="<EOS_TOKEN>", max_seq_length=64)
        checkpoint = accept(made.base, folder)
        assert ends_of(made, checkpoint, folder, TEXT) == (own, own)
        # A template that has the BOS in words makes Unsloth leave out the tokenizer's own tokens.
        tokenizer = AutoTokenizer.from_pretrained(made.base)
        tokenizer.save_pretrained(folder)
        (folder / "chat_template.jinja").write_text(tokenizer.bos_token + TEMPLATE)
        save(folder, made_of, eos_token="<EOS_TOKEN>", max_seq_length=64)
        (row,) = load_accepted(accept(made.base, folder), folder).task.tokenise([{"id": "r", **TEXT}])
        assert row.inputs["input_ids"] == tokenizer(ASKED, add_special_tokens=False).input_ids


def test_two_versions_are_two_checkpoints(plain: TinyCheckpoint, tmp_path: Path) -> None:
    ids = set()
    for version in SFTS:
        (tmp_path / version).mkdir()
        ids.add(send(plain, tmp_path / version, "sft", version, say_by_card).id)
    assert len(ids) == 3
