"""What trainers write beside a turn or a row to say whether its loss counts: honoured whole, or refused by name."""

import json
from typing import Any

import pytest

from influence.errors import DatainfError
from influence.rows.columns import choose_columns
from influence.rows.conversations.loss_marks import carries_loss
from influence.rows.normalise import normalise_rows
from influence.rows.values import kind_of_value

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def read(row: dict[str, Any], wanted: dict[str, str] | None = None) -> dict[str, Any]:
    types = {name: frozenset({kind_of_value(value)}) for name, value in row.items()}
    (found,) = normalise_rows([row], choose_columns(list(row), wanted, types=types))
    return found


MUTED: list[dict[str, Any]] = [
    *({"weight": 0}, {"train": False}, {"training": False}, {"loss": False}, {"loss_mask": 0}, {"loss_scale": 0.0}),
    *({"trainable": False}, {"step_loss_mask": 0}, {"loss_weight": 0}),
]


@pytest.mark.parametrize("mark", MUTED)
def test_a_turn_without_loss_is_known_by_each_trainers_name_for_it(mark: dict[str, Any]) -> None:
    messages = read({"messages": [USER, {**ANSWER, **mark}, USER, ANSWER]})["messages"]
    assert [carries_loss(message) for message in messages if message["role"] == "assistant"] == [False, True]


@pytest.mark.parametrize("name", ["train_detail", "training_detail", "loss_scale", "loss_mask", "mask"])
def test_loss_on_parts_of_a_turn_is_refused_by_name(name: str) -> None:
    with pytest.raises(DatainfError, match=name) as caught:
        read({"messages": [USER, {**ANSWER, name: [0.5]}]})
    assert "prompt and a completion" in caught.value.hint


@pytest.mark.parametrize(
    "mark", [{"mask": False}, {"masked": True}, {"mask": "User"}, {"train_on_turn": False}, {"tokenWeights": [1]}]
)
def test_a_mark_of_no_known_meaning_is_refused_by_name(mark: dict[str, Any]) -> None:
    with pytest.raises(DatainfError, match=next(iter(mark))):
        read({"messages": [USER, {**ANSWER, **mark}]})


@pytest.mark.parametrize("mark", [{"loss_mask": 0.5}, {"loss_scale": 2}, {"trainable": "no"}])
def test_a_turn_counts_whole_or_not(mark: dict[str, Any]) -> None:
    with pytest.raises(DatainfError, match=r"whole \(1\) or not|has the") as caught:
        read({"messages": [USER, {**ANSWER, **mark}]})
    assert "whole" in caught.value.hint


def test_turns_without_loss_are_told() -> None:
    rows = normalise_rows([{"messages": [USER, {**ANSWER, "weight": 0}]}], choose_columns(["messages"]))
    list(rows)
    assert [(problem.code, problem.names) for problem in rows.problems] == [("turns_without_loss", ("weight",))]


@pytest.mark.parametrize("name", ["weight", "sampleWeight", "mask"])
@pytest.mark.parametrize("row", [{"tokens": ["a"], "tags": ["O"]}, {"text": "a", "label": "b"}])
def test_weights_of_rows_with_labels_are_refused(row: dict[str, Any], name: str) -> None:
    with pytest.raises(DatainfError, match=f"'{name}'"):
        read({**row, name: 2})


@pytest.mark.parametrize("row", [{"prompt": "a", "completion": "b"}, {"text": "a"}, {"messages": [USER, ANSWER]}])
@pytest.mark.parametrize("beside", [{"input_ids": [1, 2]}, {"labels": [-100, 2]}])
def test_tokens_beside_the_words_that_they_were_made_of_are_refused(
    row: dict[str, Any], beside: dict[str, Any]
) -> None:
    with pytest.raises(DatainfError, match=f"'{next(iter(beside))}'|out of range|several|label"):
        read({**row, **beside})


@pytest.mark.parametrize("row", [{"messages": [USER, ANSWER]}, {"prompt": "q", "completion": "a"}, {"text": "a"}])
@pytest.mark.parametrize("name", ["weight", "sample_weight", "loss_mask", "completion_mask", "assistant_masks"])
def test_weights_and_masks_of_a_row_are_refused_until_they_are_left_out(row: dict[str, Any], name: str) -> None:
    with pytest.raises(DatainfError, match=f"'{name}'") as caught:
        read({**row, name: [0, 1]})
    assert f'"{name}": ""' in caught.value.hint
    assert read({**row, name: [0, 1]}, {name: ""})["metadata"] == {name: [0, 1]}


def test_answers_beside_a_conversation_are_told_with_columns_that_can_be_sent() -> None:
    row = {"messages": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "b"}]}
    with pytest.raises(DatainfError) as caught:
        read(row)
    columns = json.loads(caught.value.hint.partition("columns={")[2].partition("}")[0].join("{}"))
    assert read(row, columns)["prompt"] == [USER]


def test_a_weight_that_leaves_the_loss_as_it_is_stays_beside_the_row() -> None:
    assert read({"prompt": "q", "completion": "a", "weight": 1.0})["metadata"] == {"weight": 1.0}


@pytest.mark.parametrize("beside", [{"label": False}, {"kto_tag": True}, {"rejected_response": "b"}])
def test_what_makes_a_conversation_a_preference_is_refused(beside: dict[str, Any]) -> None:
    with pytest.raises(DatainfError, match=f"'{next(iter(beside))}'"):
        read({"messages": [USER, ANSWER], **beside})


@pytest.mark.parametrize(
    "turn",
    [
        {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'},
        {"role": "tool_call", "content": '[{"name": "f", "arguments": {"a": 1}}]'},
    ],
)
def test_a_turn_that_calls_a_function_is_the_assistants(turn: dict[str, Any]) -> None:
    row = {"messages": [USER, turn, {"role": "tool_response", "content": "1"}, ANSWER]}
    call, answer = read(row)["messages"][1:3]
    function = {"name": "f", "arguments": {"a": 1}}
    assert call == {"role": "assistant", "tool_calls": [{"type": "function", "function": function}]}
    assert answer == {"role": "tool", "content": "1"}


@pytest.mark.parametrize("words", ["f(1)", "[]", '"f"', '{"arguments": {}}', None])
def test_a_call_that_is_none_is_refused(words: Any) -> None:
    with pytest.raises(DatainfError, match=r"messages\[1\]"):
        read({"messages": [USER, {"role": "tool_call", "content": words}]})


def test_rows_do_not_tell_templates_the_date() -> None:
    with pytest.raises(DatainfError, match="strftime_now"):
        read({"messages": [USER, ANSWER], "chat_template_kwargs": {"strftime_now": "x"}})
