"""Conversations as LLaMA-Factory and ms-swift wrote them for training: by templates of their own, where known."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import accept, load_accepted, make_adapter
from transformers import AutoTokenizer

from influence.contracts.checkpoint import Checkpoint
from influence.errors import RowsUnfit

TEMPLATE = (
    "{% if tools %}<tools>{% endif %}{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }};"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: As DPO-like trainers mark what carries loss: in one of several templates, which plain conversations do not use.
MARKS = "{% for message in messages %}{% generation %}{{ message['content'] }}{% endgeneration %}{% endfor %}"
SYSTEM = {"role": "system", "content": "my app"}
ASKED, SAID = {"role": "user", "content": "where is my card"}, {"role": "assistant", "content": "please help"}
TALK = [ASKED, SAID]
FACTORY, SWIFT = "training_args.yaml", "args.json"
QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    made = make_causal(tmp_path_factory.mktemp("causal"))
    (made.base / "chat_template.jinja").write_text(TEMPLATE)
    return made


def send(causal: TinyCheckpoint, folder: Path, **files: str | dict[str, Any]) -> tuple[Checkpoint, Any]:
    """The record of an adapter with these files beside it, and what a worker makes of it."""
    make_adapter(causal.base, folder, target_modules=["q_proj"])
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    checkpoint = accept(causal.base, folder)
    return checkpoint, load_accepted(checkpoint, folder).task


def read(task: Any, *messages: dict[str, Any], **beside: Any) -> str:
    text: str = task.render({"id": "r", "messages": list(messages), **beside}).text
    return text


def chatml(system: str) -> str:
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{ASKED['content']}<|im_end|>\n"
        f"<|im_start|>assistant\n{SAID['content']}<|im_end|>\n"
    )


@pytest.mark.parametrize(
    ("file", "content", "alone", "with_system"),
    [
        (FACTORY, "stage: sft\ntemplate: qwen\n", chatml(QWEN), chatml("my app")),
        (FACTORY, "stage: sft\ntemplate: qwen\ndefault_system: 'Be\n\n  kind'\n", chatml("Be\nkind"), chatml("my app")),
        (
            FACTORY,
            "stage: sft\ntemplate: default\n",
            "Human: where is my card\nAssistant:please help\n",
            "System: my app\nHuman: where is my card\nAssistant:please help\n",
        ),
        (
            FACTORY,
            "stage: sft\ntemplate: gemma\n",
            "<start_of_turn>user\nwhere is my card<end_of_turn>\n<start_of_turn>model\nplease help<end_of_turn>\n",
            "<start_of_turn>user\nmy app\n\nwhere is my card<end_of_turn>\n<start_of_turn>model\nplease help"
            "<end_of_turn>\n",
        ),
        (SWIFT, {"rlhf_type": None, "template": "qwen2_5"}, chatml(QWEN), chatml("my app")),
        (SWIFT, {"rlhf_type": None, "template": "qwen", "system": "{{ x }}"}, chatml("{{ x }}"), chatml("my app")),
    ],
)
def test_rows_are_written_by_the_template_that_the_trainer_names(
    causal: TinyCheckpoint, tmp_path: Path, file: str, content: Any, alone: str, with_system: str
) -> None:
    checkpoint, task = send(causal, tmp_path, **{file: content})
    # The tokenizer's own end and beginning stand where templates of trainers write them.
    ends = {"<s>": "", "</s>": "", "[SEP]": "", "[CLS]": ""}
    texts = [read(task, *TALK), read(task, SYSTEM, *TALK)]
    for end, nothing in ends.items():
        texts = [text.replace(end, nothing) for text in texts]
    assert texts == [alone, with_system]
    assert "conversations are written by it" in "".join(checkpoint.warnings)
    # Of tools it is not known how the trainer wrote them.
    assert "<tools>" in read(task, *TALK, tools=[{"name": "find"}])


THOUGHT = "<think>\nslow\n</think>\n\nplease help"
NO_THOUGHT = "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("thinks", "answer", "written", "supervised"),
    [
        # As LLaMA-Factory 0.9.3 to 0.9.5 write an answer, and which part of it carries loss.
        ("true", "please help", f"{NO_THOUGHT}please help", f"{NO_THOUGHT}please help"),
        ("true", THOUGHT, THOUGHT, THOUGHT),
        ("false", THOUGHT, f"{NO_THOUGHT}please help", "please help"),
        ("false", "\nplease help", f"{NO_THOUGHT}please help", "please help"),
    ],
)
def test_thoughts_are_written_or_taken_out_as_the_trainer_did(
    causal: TinyCheckpoint, tmp_path: Path, thinks: str, answer: str, written: str, supervised: str
) -> None:
    checkpoint, task = send(causal, tmp_path, **{FACTORY: f"enable_thinking: {thinks}\nstage: sft\ntemplate: qwen3\n"})
    assert checkpoint.training is not None
    assert "conversations are written by it" in "".join(checkpoint.warnings)
    said = {"role": "assistant", "content": answer}
    turn = f"<|im_start|>user\nwhere is my card<|im_end|>\n<|im_start|>assistant\n{written}<|im_end|>\n"
    rendered = task.render({"id": "r", "messages": [ASKED, said, ASKED, said]})
    assert rendered.text == turn * 2
    carrying = [token for token, carries in zip(rendered.tokens, rendered.supervised, strict=True) if carries]
    assert carrying == AutoTokenizer.from_pretrained(causal.base).tokenize(f"{supervised}<|im_end|>\n") * 2


@pytest.mark.parametrize(
    ("settings", "answers", "written", "supervised"),
    [
        # As ms-swift 4.6 writes answers, and which parts carry loss: `make trainers` holds this against itself.
        ({"loss_scale": "default"}, ["please help"], [f"{NO_THOUGHT}please help"], [f"{NO_THOUGHT}please help"]),
        ({"loss_scale": "default+ignore_empty_think"}, ["please help"], [f"{NO_THOUGHT}please help"], ["please help"]),
        (
            {"loss_scale": "ignore_empty_think"},
            [f"{NO_THOUGHT}please help"],
            [f"{NO_THOUGHT}please help"],
            ["please help"],
        ),
        ({"loss_scale": "default+ignore_empty_think"}, [THOUGHT], [THOUGHT], [THOUGHT]),
        ({"loss_scale": "last_round"}, [THOUGHT] * 2, ["please help", THOUGHT], [THOUGHT]),
        (
            {"loss_scale": "last_round+ignore_empty_think"},
            ["please help"] * 2,
            ["please help", f"{NO_THOUGHT}please help"],
            ["please help"],
        ),
        (
            {"loss_scale": "last_round"},
            ["please help"] * 2,
            ["please help", f"{NO_THOUGHT}please help"],
            [f"{NO_THOUGHT}please help"],
        ),
        (
            {"loss_scale": "default", "preserve_thinking": False},
            [THOUGHT] * 2,
            ["please help", THOUGHT],
            ["please help", THOUGHT],
        ),
        (
            {"loss_scale": "default", "add_non_thinking_prefix": False},
            ["please help"],
            ["please help"],
            ["please help"],
        ),
    ],
)
def test_thoughts_are_written_as_ms_swift_did(
    causal: TinyCheckpoint,
    tmp_path: Path,
    settings: dict[str, Any],
    answers: list[str],
    written: list[str],
    supervised: list[str],
) -> None:
    content = {"rlhf_type": None, "template": "qwen3", "add_non_thinking_prefix": True, **settings}
    make_adapter(causal.base, tmp_path, target_modules=["q_proj"])
    (tmp_path / SWIFT).write_text(json.dumps(content))
    checkpoint = accept(causal.base, tmp_path)
    assert checkpoint.training is not None
    task = load_accepted(checkpoint, tmp_path, loss=checkpoint.training.loss).task
    messages = [turn for answer in answers for turn in (ASKED, {"role": "assistant", "content": answer})]
    rendered = task.render({"id": "r", "messages": messages})
    turns = [
        f"<|im_start|>user\nwhere is my card<|im_end|>\n<|im_start|>assistant\n{one}<|im_end|>\n" for one in written
    ]
    assert rendered.text == "".join(turns)
    carrying = [token for token, carries in zip(rendered.tokens, rendered.supervised, strict=True) if carries]
    tokenize = AutoTokenizer.from_pretrained(causal.base).tokenize
    assert carrying == [token for one in supervised for token in tokenize(f"{one}<|im_end|>\n")]


def test_versions_of_ms_swift_that_do_not_say_what_became_of_thoughts_take_the_tokenizers_template(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    checkpoint, task = send(causal, tmp_path, **{SWIFT: {"rlhf_type": None, "template": "qwen3"}})
    assert "here the tokenizer's chat template writes them" in "".join(checkpoint.warnings)
    assert read(task, *TALK) == "<user>where is my card;<assistant>please help;"


def test_several_thoughts_of_an_answer_are_refused_where_empty_ones_carried_no_loss(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    content = {"template": "qwen3", "add_non_thinking_prefix": True, "loss_scale": "default+ignore_empty_think"}
    _, task = send(causal, tmp_path, **{SWIFT: content})
    with pytest.raises(RowsUnfit, match="which of these thoughts carried loss"):
        read(task, ASKED, {"role": "assistant", "content": "<think>\na\n</think>\n\nb<think>\n</think>"})


def test_ends_that_training_put_on_other_tokens_are_refused(causal: TinyCheckpoint, tmp_path: Path) -> None:
    _, task = send(causal, tmp_path, **{FACTORY: "stage: sft\ntemplate: gemma2\n"})
    end = AutoTokenizer.from_pretrained(causal.base).eos_token
    assert read(task, *TALK).endswith(f"please help<end_of_turn>\n{end}")
    with pytest.raises(RowsUnfit, match="training put an end on tokens between its turns"):
        read(task, *TALK, *TALK)


def test_a_thought_of_an_unknown_form_is_refused_where_training_took_thoughts_out(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    _, task = send(causal, tmp_path, **{FACTORY: "enable_thinking: false\nstage: sft\ntemplate: qwen3\n"})
    with pytest.raises(RowsUnfit, match="how training took this thought out"):
        read(task, ASKED, {"role": "assistant", "content": "<think>slow</think>please help"})


@pytest.mark.parametrize(
    "odd",
    [
        {"role": "tool", "content": "app"},
        {"role": "assistant", "content": "app", "reasoning_content": "slow"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find"}}]},
    ],
)
def test_what_a_trainers_template_is_not_known_to_write_is_refused(
    causal: TinyCheckpoint, tmp_path: Path, odd: dict[str, Any]
) -> None:
    _, task = send(causal, tmp_path, **{FACTORY: "stage: sft\ntemplate: qwen\n"})
    with pytest.raises(RowsUnfit, match="it is not known how training wrote"):
        read(task, ASKED, odd, SAID)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (FACTORY, "stage: sft\ntemplate: of_our_own\n", "template 'of_our_own'"),
        (FACTORY, "stage: sft\n", "which no file names"),
        (FACTORY, "stage: sft\ntemplate: qwen3\n", "template 'qwen3'"),
        (FACTORY, "enable_thinking: true\nmask_history: true\nstage: sft\ntemplate: qwen3\n", "template 'qwen3'"),
        ("README.md", "---\ntags:\n- llama-factory\n- lora\n---\n", "which no file names"),
        (SWIFT, {"rlhf_type": None, "template": "qwen3"}, "template 'qwen3'"),
        (SWIFT, {"rlhf_type": None, "template": "qwen", "use_chat_template": False}, "use_chat_template: false"),
    ],
)
def test_of_a_template_that_is_not_known_the_record_says_so(
    causal: TinyCheckpoint, tmp_path: Path, file: str, content: Any, told: str
) -> None:
    checkpoint, task = send(causal, tmp_path, **{file: content})
    (doubt,) = checkpoint.warnings
    assert told in doubt
    assert "chat_template.jinja" in doubt
    assert read(task, *TALK) == "<user>where is my card;<assistant>please help;"


def test_a_system_prompt_that_training_set_stands_before_rows_without_one(
    causal: TinyCheckpoint, tmp_path: Path
) -> None:
    plain, _ = send(causal, tmp_path / "plain", **{SWIFT: {"rlhf_type": None, "template_backend": "jinja"}})
    said, task = send(
        causal, tmp_path / "said", **{SWIFT: {"rlhf_type": None, "template_backend": "jinja", "system": 'my "app"\n'}}
    )
    assert (plain.warnings, said.warnings) == ((), ())
    assert plain.id != said.id
    assert read(task, *TALK) == '<system>my "app"\n;<user>where is my card;<assistant>please help;'
    assert read(task, SYSTEM, *TALK) == "<system>my app;<user>where is my card;<assistant>please help;"


def test_marks_of_one_of_several_templates_say_nothing_of_the_others(causal: TinyCheckpoint, tmp_path: Path) -> None:
    _, task = send(causal, tmp_path, **{"chat_template.jinja": TEMPLATE, "chat_template.tool_use.jinja": MARKS})
    rendered = task.render({"id": "r", "messages": TALK})
    supervised = [token for token, carries in zip(rendered.tokens, rendered.supervised, strict=True) if carries]
    assert supervised[:2] == ["please", "help"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (SWIFT, {"rlhf_type": None, "template": "qwen2_5", "loss_scale": "default"}),
        (SWIFT, {"rlhf_type": None, "template": "of-its-own", "loss_scale": "default"}),
        (FACTORY, "stage: sft\ntemplate: chatml\n"),
    ],
)
def test_contents_in_parts_are_one_text_for_trainers_that_joined_them(
    causal: TinyCheckpoint, tmp_path: Path, file: str, content: str | dict[str, Any]
) -> None:
    _, task = send(causal, tmp_path, **{file: content})
    parted = {**ASKED, "content_parts": ["where is ", "my card"]}
    assert read(task, parted, SAID) == read(task, *TALK)
    assert "where is my card" in read(task, parted, SAID)
