"""Conversations in their normal form: what a template may read stays, what no row can hold is refused."""

from typing import Any

import pytest

from influence.errors import BrokenRow, ColumnsAmbiguous, ColumnsUnmatched, DatainfError
from influence.rows.columns import choose_columns
from influence.rows.examples import normalise_examples
from influence.rows.normalise import NormalisedRows, normalise_rows
from influence.rows.values import kind_of_value

TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"default": None}}}]
SYSTEM = {"role": "system", "content": "be brief"}


def normalised(row: dict[str, Any], wanted: dict[str, str] | None = None, **options: Any) -> NormalisedRows:
    types = {name: frozenset({kind_of_value(value)}) for name, value in row.items()}
    return normalise_rows([row], choose_columns(list(row), wanted, types=types), **options)


def only(row: dict[str, Any], wanted: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    (found,) = normalised(row, wanted, **options)
    return {name: value for name, value in found.items() if name != "id"}


def refused(row: dict[str, Any], wanted: dict[str, str] | None = None) -> DatainfError:
    with pytest.raises(DatainfError, match="Row 0") as caught:
        only(row, wanted)
    return caught.value


def test_every_field_of_a_message_stays() -> None:
    message = {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "hm",
        "thinking": "hm",
        "name": "bot",
        "tool_call_id": "1",
        "annotations": [{"x": None}],
    }
    assert only({"messages": [message]})["messages"] == [message]


def test_roles_that_templates_know_stay_as_they_are_written() -> None:
    roles = ["system", "developer", "user", "assistant", "tool", "function", "ipython", "observation"]
    found = only({"messages": [{"role": role, "content": "x"} for role in roles]})["messages"]
    assert [message["role"] for message in found] == roles


def test_speakers_are_read_as_roles_and_renamed_roles_are_named() -> None:
    speakers = ["human", "gpt", "observation", "function", "system"]
    found = only({"conversations": [{"from": name, "value": "x"} for name in speakers]})["messages"]
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool", "system"]
    rows = normalised({"messages": [{"role": "Human", "content": "x"}, {"role": "model", "content": "y"}]})
    list(rows)
    (problem,) = rows.problems
    assert (problem.code, problem.names) == ("roles_renamed", ("Human", "model"))


@pytest.mark.parametrize("name", ["text", "parts", "response"])
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": ""}])
def test_words_under_another_name_are_no_empty_turn(name: str, content: dict[str, Any]) -> None:
    error = refused({"messages": [{"role": "user", **content, name: "what"}, TALK[1]]})
    assert f"Rename the field '{name}' to 'content'" in error.hint


def test_a_turn_without_content_holds_what_a_template_reads_in_its_place() -> None:
    refused({"messages": [TALK[0], {"role": "assistant", "score": 1}]})
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    assert only({"messages": [TALK[0], call]})["messages"][1] == call


@pytest.mark.parametrize("name", ["images", "audio", "experimental_attachments"])
def test_media_of_a_message_are_refused(name: str) -> None:
    assert name in refused({"messages": [{**TALK[0], name: ["a.png"]}, TALK[1]]}).detail
    assert only({"messages": [{**TALK[0], name: []}, TALK[1]]})["messages"][0][name] == []


def test_what_messages_hold_beside_their_words_is_told() -> None:
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    rows = normalised({"messages": [{"role": "user", "content": parts, "mood": "good"}, TALK[1]]})
    (row,) = rows
    assert row["messages"][0]["content"] == "hello"
    found = {problem.code: problem.names for problem in rows.problems}
    assert found == {"fields_of_messages": ("mood",), "parts_handed_on": ("messages",)}


@pytest.mark.parametrize(
    "row", [{"messages": TALK, "system": "NaN"}, {"instruction": "a", "input": "N/A", "output": "c"}]
)
def test_words_that_tools_write_for_none_are_told(row: dict[str, Any]) -> None:
    rows = normalised(row)
    list(rows)
    assert "words_for_nothing" in {problem.code for problem in rows.problems}


def test_what_a_template_reads_beside_the_messages_is_found_by_name() -> None:
    row = {"messages": TALK, "tools": TOOLS, "documents": [{"text": "d"}], "chat_template_kwargs": {"thinking": False}}
    assert only(row) == row
    assert only(row, {"messages": "messages"}) == row
    assert only({**row, "system": "be brief"})["messages"] == [SYSTEM, *TALK]


def test_tools_and_messages_may_be_json_strings() -> None:
    import json

    row = {"messages": json.dumps(TALK), "tools": json.dumps(TOOLS)}
    assert only(row) == {"messages": TALK, "tools": TOOLS}


@pytest.mark.parametrize("nothing", [None, "", [], {}, "[]", "null"])
def test_empty_context_is_no_context(nothing: Any) -> None:
    assert only({"messages": TALK, "tools": nothing, "documents": nothing, "chat_template_kwargs": nothing}) == {
        "messages": TALK
    }


def test_a_system_prompt_that_is_there_already_is_not_doubled() -> None:
    row = {"messages": [SYSTEM, *TALK], "system": "be brief"}
    assert only(row)["messages"] == [SYSTEM, *TALK]
    assert '"system": ""' in refused({**row, "system": "be long"}).hint


def test_two_columns_for_one_part_are_refused() -> None:
    with pytest.raises(ColumnsAmbiguous, match="system_prompt"):
        choose_columns(["messages", "system_prompt", "system_message"])
    assert choose_columns(["messages", "system", "system_prompt"]).columns["system"] == "system"


@pytest.mark.parametrize("role", ["tools", "documents"])
@pytest.mark.parametrize("value", ["f", 5, {"name": "f"}, ["f"], "{}x"])
def test_context_of_the_wrong_form_is_refused(role: str, value: Any) -> None:
    refused({"messages": TALK, role: value})


@pytest.mark.parametrize("name", ["chat_template", "tokenize", "tools", "add_generation_prompt", "messages"])
def test_rows_cannot_set_arguments_that_are_not_the_templates(name: str) -> None:
    assert name in refused({"messages": TALK, "chat_template_kwargs": {name: "x"}}).detail


def test_conversational_prompts_and_completions_become_one_conversation() -> None:
    row = {"prompt": [SYSTEM, TALK[0]], "completion": [TALK[1]], "tools": TOOLS}
    assert only(row) == {"messages": [SYSTEM, *TALK], "tools": TOOLS, "completion_from": 2}
    assert only({**row, "prompt": [TALK[0]], "system": "be brief"})["completion_from"] == 2


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "completion": [TALK[1]]},
        {"prompt": [TALK[0]], "completion": "a"},
        {"prompt": None, "completion": [TALK[1]]},
        {"prompt": [], "completion": [TALK[1]]},
    ],
)
def test_prompts_and_completions_of_two_forms_are_refused(row: dict[str, Any]) -> None:
    refused(row)


def test_a_struct_of_lists_is_a_list_of_messages() -> None:
    assert only({"messages": {"role": ["user", "assistant"], "content": ["q", "a"]}})["messages"] == TALK
    assert only({"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}})["messages"] == TALK
    for broken in ({"role": ["user"], "content": []}, {"content": ["q"]}, {"role": ["user"], "content": ["q"], "x": 1}):
        refused({"messages": broken})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"type": "image", "image": "x"}], "'image'"),
        ([{"type": "image_url", "image_url": {"url": "x"}}], "'image_url'"),
        ([{"type": "input_audio", "input_audio": {}}], "'input_audio'"),
        ([{"type": "thinking", "thinking": "x"}], "'thinking'"),
        ([{"type": "text", "text": "x", "cache_control": {}}], "'cache_control'"),
        (["x"], "not text"),
        ({"text": "x"}, "dict"),
        (5, "'5'"),
    ],
)
def test_content_that_is_not_text_is_refused_by_what_it_is(content: Any, said: str) -> None:
    assert said in refused({"messages": [{"role": "user", "content": content}]}).detail


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "from": "gpt", "content": "x"},
        {"role": "user", "content": "x", "value": "y"},
        {"role": "assistant", "content": "x", "weight": 0.5},
        {"role": "user", "content": "x", "weight": 1},
        {"role": "user", "content": "x", "train": True},
        {"role": "assistant", "name": "bot"},
        {"role": "function_call", "content": "x"},
        ["user", "x"],
    ],
)
def test_messages_of_two_meanings_are_refused(message: Any) -> None:
    refused({"messages": [message]})


def test_fields_that_say_where_loss_falls_stay() -> None:
    row = {"messages": [TALK[0], {**TALK[1], "weight": 0}, {**TALK[1], "train": False}]}
    assert only(row) == row


UNREADABLE = [
    ({"prompt": "p", "completion": "c"}, "rejected", "bad"),
    ({"prompt": "p", "completion": "c"}, "system_prompt", "be brief"),
    ({"prompt": "p", "completion": "c"}, "tools", TOOLS),
    ({"prompt": "p", "completion": "c"}, "label", True),
    ({"question": "p", "answer": "c"}, "reasoning_content", "hm"),
    ({"instruction": "i", "output": "o"}, "history", [["a", "b"]]),
    ({"messages": TALK}, "rejected", TALK),
    ({"messages": TALK}, "images", ["x.png"]),
    ({"messages": TALK}, "functions", TOOLS),
    ({"text": "t"}, "images", ["x.png"]),
]


@pytest.mark.parametrize(("content", "column", "value"), UNREADABLE)
def test_a_guess_never_passes_over_what_may_have_carried_loss(content: Any, column: str, value: Any) -> None:
    error = refused({**content, column: value})
    assert isinstance(error, ColumnsAmbiguous)
    assert repr(column) in error.detail
    name = error.hint.split('columns with "')[1].split('"')[0]
    found = only({**content, column: value}, {name: ""})
    assert found["metadata"] == {column: value}


@pytest.mark.parametrize(("content", "column", "value"), UNREADABLE)
def test_empty_columns_are_in_nobodys_way(content: Any, column: str, value: Any) -> None:
    assert "metadata" not in only({**content, column: None})


def test_named_content_leaves_the_rest_as_metadata() -> None:
    row = {"prompt": "p", "chosen": "c", "rejected": "r"}
    found = normalised(row, {"prompt": "prompt", "completion": "chosen"})
    assert [row["metadata"] for row in found] == [{"rejected": "r"}]
    assert found.metadata_columns == {"rejected": "string"}
    (problem,) = found.problems
    assert (problem.code, problem.names, problem.rows) == ("columns_not_read", ("rejected",), (0,))


def test_context_has_no_place_beside_a_plain_prompt_even_where_it_is_named() -> None:
    with pytest.raises(ColumnsUnmatched, match="'system'"):
        choose_columns(["p", "c", "s"], {"prompt": "p", "completion": "c", "system": "s"})


HINTS = [
    (["a", "b"], "One row has one text"),
    ([1, 2], "token ids"),
    (TALK, "as 'messages'"),
    ({"bytes": b"", "path": "x"}, "pictures"),
    ({"text": "a"}, "field inside it"),
    (b"x", "Decode"),
    (5, "in quotes"),
    (True, "truth value"),
    (None, "Drop the rows"),
]


@pytest.mark.parametrize(("value", "hint"), HINTS)
def test_every_kind_of_wrong_value_has_a_hint_of_its_own(value: Any, hint: str) -> None:
    error = refused({"text": value}, {"text": "text"})
    assert isinstance(error, BrokenRow)
    assert hint in error.hint


def test_examples_are_read_like_rows() -> None:
    columns = {"prompt": "ask", "completion": "reply", "tools": "tools"}
    (row,) = normalise_examples(
        [{"ask": [TALK[0]], "reply": [TALK[1]], "tools": TOOLS, "source": "web"}], "conversation", columns
    )
    assert row == {
        "id": "example-0",
        "messages": TALK,
        "tools": TOOLS,
        "completion_from": 1,
        "metadata": {"source": "web"},
    }
    (row,) = normalise_examples([{"messages": TALK, "system": "be brief"}], "conversation", columns)
    assert row["messages"] == [SYSTEM, *TALK]


def test_examples_with_what_no_row_can_hold_are_refused_unless_the_data_set_has_it_beside() -> None:
    example = {"prompt": "p", "completion": "c", "rejected": "r"}
    with pytest.raises(ColumnsAmbiguous, match="Example 0"):
        normalise_examples([example], "completion")
    (row,) = normalise_examples([example], "completion", beside=["rejected"])
    assert row["metadata"] == {"rejected": "r"}
