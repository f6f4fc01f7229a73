"""An index takes the loss that its checkpoint's files say of training, and says where a request takes another."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from influence.contracts.checkpoint import BaseModelRef, Checkpoint, TrainingRecord
from influence.contracts.common import MAX_ROW_TOKENS, now
from influence.store.store import Store

TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
ROWS: dict[str, dict[str, Any]] = {
    "text": {"text": "t"},
    "completion": {"prompt": "p", "completion": "c"},
    "conversation": {"messages": TALK},
    "alpaca": {"instruction": "i", "input": "x", "output": "o"},
    "preference": {"prompt": "p", "chosen": "c", "rejected": "r"},
}


def ask(client: TestClient, store: Store, rows: str, training: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    """The index of rows of a kind, on a language model whose files say this of its training."""
    record = None if training is None else TrainingRecord(files=("args.json",), **training)
    made = Checkpoint(
        id="ckpt_lm",
        base_model=BaseModelRef(name="tiny", kind="hub", location="tiny"),
        adapter=fields.pop("adapter", {}),
        tensors=4,
        task="direct_preference" if rows == "preference" else "causal_lm",
        adapter_digest="a1",
        parameters=1000,
        training=record,
        created_at=now(),
    )
    store.checkpoints.create(made)
    sent = client.post("/v1/datasets", files={"file": ("rows.jsonl", json.dumps(ROWS[rows]))}).json()
    body = {"checkpoint_id": made.id, "dataset_id": sent["id"], **fields}
    answer = client.post("/v1/indexes", json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    ("rows", "trained", "asked", "taken", "is_said"),
    [
        ("conversation", None, None, "assistant", False),
        ("conversation", "assistant", None, "assistant", False),
        ("conversation", "all", None, "all", False),
        ("conversation", "completion", None, "completion", False),
        ("conversation", "all", "assistant", "assistant", True),
        ("conversation", "assistant", "all", "all", True),
        ("completion", "assistant", None, "completion", False),
        ("completion", "all", None, "all", False),
        ("completion", "assistant", "all", "all", True),
        ("text", "assistant", None, "all", True),
        ("text", "all", None, "all", False),
    ],
)
def test_the_loss_falls_where_it_fell_in_training(
    client: TestClient, store: Store, rows: str, trained: Any, asked: str | None, taken: str, is_said: bool
) -> None:
    index = ask(client, store, rows, {"loss": trained}, **({"loss": asked} if asked else {}))
    assert index["spec"]["gradients"]["loss"] == taken
    assert ["the loss fell on" in warning for warning in index["warnings"]] == [True] * is_said


@pytest.mark.parametrize(
    ("rows", "taken"),
    [("conversation", "all"), ("completion", "completion"), ("text", "all"), ("alpaca", "completion")],
)
def test_a_trainer_may_have_its_loss_elsewhere_where_a_completion_is_apart(
    client: TestClient, store: Store, rows: str, taken: str
) -> None:
    index = ask(client, store, rows, {"trainer": "TRL", "loss": "all", "completion_loss": "completion"})
    assert index["spec"]["gradients"]["loss"] == taken
    assert index["warnings"] == []


@pytest.mark.parametrize(
    ("rows", "way", "asked", "is_said"),
    [
        ("conversation", None, None, 1),
        ("conversation", "sft", None, 1),
        ("conversation", "dpo", None, 0),
        ("conversation", "sft", "all", 0),
        ("text", "sft", None, 0),
    ],
)
def test_a_trainer_whose_masks_no_file_names_is_told(
    client: TestClient, store: Store, rows: str, way: str | None, asked: str | None, is_said: int
) -> None:
    index = ask(client, store, rows, {"trainer": "Unsloth", "way": way}, **({"loss": asked} if asked else {}))
    assert ["train_on_responses_only" in warning for warning in index["warnings"]] == [True] * is_said


@pytest.mark.parametrize(
    ("trained", "asked", "taken", "is_said"),
    [(None, None, 0.1, False), (0.3, None, 0.3, False), (0.3, 0.3, 0.3, False), (0.3, 0.1, 0.1, True)],
)
def test_beta_is_that_of_training(
    client: TestClient, store: Store, trained: float | None, asked: float | None, taken: float, is_said: bool
) -> None:
    index = ask(client, store, "preference", {"beta": trained}, **({"beta": asked} if asked else {}))
    assert index["spec"]["gradients"]["beta"] == taken
    assert ["had beta 0.3, and this index has 0.1" in warning for warning in index["warnings"]] == [True] * is_said


@pytest.mark.parametrize(
    ("trained", "asked", "taken", "said"),
    [
        (None, None, 512, []),
        (2048, None, 2048, []),
        (64, None, 64, []),
        (2048, 2048, 2048, []),
        (2048, 128, 128, ["cut rows at 2048 tokens"]),
        (64, 128, 128, ["cut rows at 64 tokens"]),
        (MAX_ROW_TOKENS, None, MAX_ROW_TOKENS, []),
        (MAX_ROW_TOKENS, 128, 128, ["left rows whole"]),
        # As records of former versions may have it.
        (MAX_ROW_TOKENS + 1, None, MAX_ROW_TOKENS, []),
    ],
)
def test_rows_are_cut_where_training_cut_them(
    client: TestClient, store: Store, trained: int | None, asked: int | None, taken: int, said: list[str]
) -> None:
    index = ask(client, store, "text", {"max_length": trained}, **({"max_length": asked} if asked else {}))
    assert index["spec"]["gradients"]["max_length"] == taken
    assert len(index["warnings"]) == len(said)
    assert all(words in warning for words, warning in zip(said, index["warnings"], strict=True))


def test_a_preview_cuts_rows_where_an_index_does(client: TestClient, store: Store) -> None:
    index = ask(client, store, "text", {"max_length": 64})
    body = {"checkpoint_id": index["spec"]["checkpoint_id"]}
    path = f"/v1/datasets/{index['spec']['dataset_id']}/preview"
    for more, taken in (({}, 64), ({"max_length": 9}, 9)):
        answer = client.post(path, json={**body, **more}, headers={"Prefer": "wait=0"})
        assert answer.json()["request"]["max_length"] == taken


@pytest.mark.parametrize(("trainer", "is_said"), [("LLaMA-Factory", True), ("ms-swift", True), ("Axolotl", False)])
def test_prompts_of_another_recipe_than_the_trainers_are_said(
    client: TestClient, store: Store, trainer: str, is_said: bool
) -> None:
    index = ask(client, store, "alpaca", {"trainer": trainer})
    assert ["Stanford Alpaca" in warning for warning in index["warnings"]] == [True] * is_said
    assert ask(client, store, "conversation", {"trainer": trainer})["warnings"] == []


@pytest.mark.parametrize(
    ("trainer", "template", "is_said"),
    [
        ("LLaMA-Factory", "qwen", True),
        ("LLaMA-Factory", None, True),
        ("LLaMA-Factory", "empty", False),
        ("ms-swift", "qwen2_5", True),
        ("ms-swift", "use_chat_template: false", False),
        ("TRL", None, False),
    ],
)
@pytest.mark.parametrize("rows", ["completion", "preference"])
def test_prompts_that_a_trainer_made_turns_of_are_said(
    client: TestClient, store: Store, rows: str, trainer: str, template: str | None, is_said: bool
) -> None:
    index = ask(client, store, rows, {"trainer": trainer, "template": template})
    assert ["as turns of a conversation" in warning for warning in index["warnings"]] == [True] * is_said


def test_a_checkpoint_whose_files_say_nothing_has_nothing_to_differ_from(client: TestClient, store: Store) -> None:
    assert ask(client, store, "alpaca", None, max_length=99)["warnings"] == []


def test_an_index_says_that_it_leaves_out_biases_that_were_trained(client: TestClient, store: Store) -> None:
    adapter = {"bias": "all", "lora_bias": True}
    said = "".join(ask(client, store, "text", None, adapter=adapter)["warnings"])
    assert "bias 'all' and lora_bias True" in said
    assert "'include_bias': true" in said
    assert ask(client, store, "text", None, adapter=adapter, include_bias=True)["warnings"] == []


def test_an_index_says_where_an_old_trl_made_turns_of_prompts_and_completions(client: TestClient, store: Store) -> None:
    training = {"trainer": "TRL", "way": "sft", "ends": "as_tokenised", "loss": "all", "completion_loss": "all"}
    assert "TRL to 0.14" in "".join(ask(client, store, "completion", training)["warnings"])
    assert "TRL to 0.14" not in "".join(ask(client, store, "text", training)["warnings"])


@pytest.mark.parametrize(
    ("rows", "trained", "asked", "is_said"),
    [
        ("completion", "sum", None, True),
        ("conversation", "sum", "mean", True),
        ("text", "sum", "sum", False),
        ("text", None, None, False),
        ("preference", "sum", None, False),
    ],
)
def test_rows_that_weighed_by_their_tokens_in_training_are_told_of(
    client: TestClient, store: Store, rows: str, trained: Any, asked: str | None, is_said: bool
) -> None:
    training = {"trainer": "TRL", "loss": "all", "completion_loss": "completion", "reduction": trained}
    index = ask(client, store, rows, training, **({"reduction": asked} if asked else {}))
    assert index["spec"]["gradients"]["reduction"] == (asked or "mean")
    said = ["'reduction': 'sum'" in warning for warning in index["warnings"] if "weighs" in warning]
    assert said == [True] * is_said


@pytest.mark.parametrize(
    ("trained", "fields", "taken"),
    [
        (None, {}, 1),
        (16, {}, 16),
        (16, {"batch_rows": 4}, 4),
        (16, {"storage": "compact", "metric": "optimizer"}, 16),
        # Codes of plain gradients have no use for it.
        (16, {"storage": "compact"}, 1),
    ],
)
def test_the_optimisers_metric_has_the_steps_of_training(
    client: TestClient, store: Store, trained: int | None, fields: dict[str, Any], taken: int
) -> None:
    assert ask(client, store, "text", {"batch_rows": trained}, **fields)["spec"]["batch_rows"] == taken


@pytest.mark.parametrize(("optimizer", "is_said"), [("sgd", True), ("adamw_torch", False), (None, False)])
def test_codes_in_the_metric_of_an_optimiser_that_did_not_train_are_told_of(
    client: TestClient, store: Store, optimizer: str | None, is_said: bool
) -> None:
    training = {"optimizer": optimizer}
    index = ask(client, store, "text", training, storage="compact", metric="optimizer")
    assert ["gradient descent trained" in warning for warning in index["warnings"]] == [True] * is_said
    assert ask(client, store, "text", training, storage="compact")["warnings"] == []
