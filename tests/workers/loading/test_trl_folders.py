"""Folders that TRL itself writes, with settings of its own: what its pickled arguments say, with nothing unpickled."""

import json
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig
from support.tiny import TinyCheckpoint, make_causal
from support.uploads.adapters import accept, load_accepted
from transformers import AutoTokenizer

from influence.errors import TaskMismatch
from influence.rows.conversations.messages import as_messages

trl = pytest.importorskip("trl", reason="TRL is not installed")
datasets = pytest.importorskip("datasets")

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}answer {% generation %}{{ message.content }}"
    "{% endgeneration %}{% else %}ask {{ message.content }} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}answer {% endif %}"
)
ASKED, SAID = "where is my card", "please help"
TALK = {"messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]}
PAIR = {"prompt": ASKED, "chosen": f" {SAID}", "rejected": " slow app"}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    made = make_causal(tmp_path_factory.mktemp("causal"))
    # As tokenizers of language models do: nothing is written behind a text.
    file = made.base / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": None}))
    (made.base / "chat_template.jinja").write_text(TEMPLATE)
    return made


def train(
    causal: TinyCheckpoint, folder: Path, way: str, row: dict[str, Any], *, steps: int = 0, **settings: Any
) -> Path:
    """A folder as the trainer saves it, after a step of training on a row or before it."""
    trainer = make_trainer(causal, folder, way, row, **settings)
    if steps:
        trainer.train()
    trainer.save_model(str(folder))
    return folder


def make_trainer(causal: TinyCheckpoint, folder: Path, way: str, row: dict[str, Any], **settings: Any) -> Any:
    own = {"max_steps": 1, "per_device_train_batch_size": 1, "use_cpu": True, "bf16": False, "report_to": []}
    return getattr(trl, f"{way}Trainer")(
        model=str(causal.base),
        args=getattr(trl, f"{way}Config")(output_dir=str(folder), **own, **settings),
        train_dataset=datasets.Dataset.from_list([row] * 2),
        processing_class=AutoTokenizer.from_pretrained(causal.base),
        peft_config=LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    )


@pytest.mark.parametrize(
    ("settings", "loss", "completion_loss", "length"),
    [({}, "all", "completion", 1024), ({"assistant_only_loss": True, "max_length": 32}, "assistant", "completion", 32)],
)
def test_where_the_loss_fell_is_taken_from_trl(
    causal: TinyCheckpoint, tmp_path: Path, settings: dict[str, Any], loss: str, completion_loss: str, length: int
) -> None:
    checkpoint = accept(causal.base, train(causal, tmp_path / "out", "SFT", TALK, **settings))
    assert checkpoint.training is not None
    assert (checkpoint.training.trainer, checkpoint.training.way) == ("TRL", "sft")
    assert (checkpoint.training.loss, checkpoint.training.completion_loss) == (loss, completion_loss)
    assert checkpoint.training.max_length == length


ASK, ANSWER = TALK["messages"]
LISTS = {"prompt": [ASK, ANSWER, ASK], "completion": [ANSWER]}
TEXTS = {"prompt": ASKED, "completion": f" {SAID}"}
LONG = {"messages": [ASK, ANSWER, ASK, ANSWER]}


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        ({"text": ASKED}, {}),
        (LONG, {"assistant_only_loss": True}),
        (LONG, {"max_length": 8}),
        (TEXTS, {}),
        (LISTS, {}),
        (LISTS, {"completion_only_loss": False}),
    ],
)
def test_rows_are_read_as_trl_reads_them(
    causal: TinyCheckpoint, tmp_path: Path, row: dict[str, Any], settings: dict[str, Any]
) -> None:
    trainer = make_trainer(causal, tmp_path, "SFT", row, **settings)
    trainer.save_model(str(tmp_path))
    batch = next(iter(trainer.get_train_dataloader()))
    checkpoint = accept(causal.base, tmp_path)
    assert checkpoint.training is not None
    said = checkpoint.training.completion_loss if "completion" in row else checkpoint.training.loss
    read = row if row is not LISTS else {"messages": [*LISTS["prompt"], *LISTS["completion"]], "completion_from": 3}
    settings = {"max_length": checkpoint.training.max_length, "loss": None if "text" in row else said}
    (encoded,) = load_accepted(checkpoint, tmp_path, **settings).task.tokenise([{"id": "r", **read}])
    assert encoded.inputs["input_ids"] == batch["input_ids"][0].tolist()
    assert encoded.labels[1:] == batch["labels"][0].tolist()[1:]


@pytest.mark.parametrize("row", [{"text": ASKED}, TEXTS])
def test_texts_end_in_two_eos_where_trl_and_the_tokenizer_both_write_one(tmp_path: Path, row: dict[str, Any]) -> None:
    made = make_causal(tmp_path / "causal")
    trainer = make_trainer(made, tmp_path / "out", "SFT", row)
    trainer.save_model(str(tmp_path / "out"))
    batch = next(iter(trainer.get_train_dataloader()))
    checkpoint = accept(made.base, tmp_path / "out")
    assert checkpoint.training is not None
    assert checkpoint.training.ends == "in_words"
    loss = {} if "text" in row else {"loss": checkpoint.training.completion_loss}
    (encoded,) = load_accepted(checkpoint, tmp_path / "out", **loss).task.tokenise([{"id": "r", **row}])
    assert encoded.inputs["input_ids"] == batch["input_ids"][0].tolist()
    assert encoded.labels[1:] == batch["labels"][0].tolist()[1:]
    assert encoded.inputs["input_ids"][-2:] == [trainer.processing_class.eos_token_id] * 2


def test_contents_in_parts_are_read_as_trl_reads_them(tmp_path: Path) -> None:
    made = make_causal(tmp_path / "causal")
    template = (
        "{% for message in messages %}{{ message.role }} {% for part in message.content %}{{ part.text | trim }} my "
        "{% endfor %}{% endfor %}"
    )
    (made.base / "chat_template.jinja").write_text(template)
    parts = [{"type": "text", "text": text} for text in ("where is ", " card")]
    row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": parts[:1]}]}
    trainer = make_trainer(made, tmp_path / "out", "SFT", row)
    trainer.save_model(str(tmp_path / "out"))
    batch = next(iter(trainer.get_train_dataloader()))
    kept = {"messages": as_messages(row["messages"], "messages")}
    task = load_accepted(accept(made.base, tmp_path / "out"), tmp_path / "out", loss="all").task
    (encoded,) = task.tokenise([{"id": "r", **kept}])
    assert encoded.inputs["input_ids"] == batch["input_ids"][0].tolist()


def test_what_trl_did_to_the_loss_and_to_rows_is_refused_or_said(causal: TinyCheckpoint, tmp_path: Path) -> None:
    odd: dict[str, Any] = {"label_smoothing_factor": 0.1, "neftune_noise_alpha": 5, "loss_type": "dft"}
    folder = train(causal, tmp_path / "out", "SFT", TALK, **odd)
    (tmp_path / "copy").mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(TaskMismatch, match=r"loss_type 'dft' and label_smoothing_factor 0\.1"):
        accept(causal.base, folder)
    said = " ".join(accept(causal.base, tmp_path / "copy", task="causal_lm").warnings)
    assert "loss_type 'dft'" in said
    assert "neftune_noise_alpha 5" in said


def test_beta_of_dpo_is_taken_and_another_loss_refused(causal: TinyCheckpoint, tmp_path: Path) -> None:
    checkpoint = accept(causal.base, train(causal, tmp_path / "dpo", "DPO", PAIR, beta=0.3, steps=1))
    assert checkpoint.task == "direct_preference"
    assert checkpoint.training is not None
    assert checkpoint.training.beta == 0.3
    assert checkpoint.warnings == ()
    with pytest.raises(TaskMismatch, match="'ipo'"):
        accept(causal.base, train(causal, tmp_path / "ipo", "DPO", PAIR, loss_type="ipo"))
