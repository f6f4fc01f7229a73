"""What columns mean: guessed where names are plain, refused with a suggestion elsewhere."""

import json
import re

import pytest

from influence.errors import ColumnsAmbiguous, ColumnsUnmatched, DatainfError, InvalidRequest
from influence.rows.columns import choose_columns
from influence.rows.unfit.suggestion import Types

GUESSED = [
    (
        ["id", "text", "label", "label_text", "source_row"],
        "classification",
        {"id": "id", "text": "text", "label": "label"},
    ),
    (["sentence", "label", "idx"], "classification", {"id": "idx", "text": "sentence", "label": "label"}),
    (
        ["premise", "hypothesis", "label"],
        "classification",
        {"text": "premise", "text_pair": "hypothesis", "label": "label"},
    ),
    (
        ["sentence1", "sentence2", "label"],
        "classification",
        {"text": "sentence1", "text_pair": "sentence2", "label": "label"},
    ),
    (
        ["question", "sentence", "label"],
        "classification",
        {"text": "question", "text_pair": "sentence", "label": "label"},
    ),
    (["label", "title", "content"], "classification", {"text": "content", "label": "label"}),
    (["Review", "Intent"], "classification", {"text": "Review", "label": "Intent"}),
    (["text", "label_text"], "classification", {"text": "text", "label": "label_text"}),
    (
        ["id", "prompt", "completion", "answer", "reason"],
        "completion",
        {"id": "id", "prompt": "prompt", "completion": "completion"},
    ),
    (["question", "answer"], "completion", {"prompt": "question", "completion": "answer"}),
    (["input", "output"], "completion", {"prompt": "input", "completion": "output"}),
    (
        ["instruction", "input", "output"],
        "completion",
        {"instruction": "instruction", "input": "input", "output": "output"},
    ),
    (["instruction", "response"], "completion", {"instruction": "instruction", "output": "response"}),
    (["prompt", "prompt_id", "messages"], "conversation", {"messages": "messages"}),
    (["id", "conversations"], "conversation", {"id": "id", "conversations": "conversations"}),
    (["text", "meta"], "text", {"text": "text"}),
]


@pytest.mark.parametrize(("seen", "kind", "columns"), GUESSED)
def test_plain_names_are_understood(seen: list[str], kind: str, columns: dict[str, str]) -> None:
    chosen = choose_columns(seen)
    assert (chosen.kind, chosen.columns) == (kind, columns)


@pytest.mark.parametrize(
    "seen",
    [
        ["sentence", "review", "label"],
        ["text", "intent", "category"],
        ["text", "prompt", "completion"],
        ["messages", "text"],
        ["question", "answer", "label"],
        ["context", "question", "answer"],
        ["Text", "TEXT"],
        ["instruction", "input", "output", "text"],
    ],
)
def test_two_readings_are_refused_with_a_mapping_that_works(seen: list[str]) -> None:
    with pytest.raises(ColumnsAmbiguous) as caught:
        choose_columns(seen)
    assert caught.value.code == "columns_ambiguous"
    assert len(caught.value.extra["readings"]) > 1
    assert caught.value.extra["columns_seen"] == seen
    assert choose_columns(seen, columns_in(caught.value)).columns == caught.value.extra["readings"][0]


@pytest.mark.parametrize("seen", [["body_text", "my_label"], ["customer text"], ["n", "Text.2"]])
def test_names_with_a_role_as_a_word_are_refused_with_a_suggestion_that_works(seen: list[str]) -> None:
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(seen)
    assert caught.value.code == "columns_unmatched"
    assert caught.value.extra["columns_seen"] == seen
    assert choose_columns(seen, columns_in(caught.value)).columns["text"] in seen


@pytest.mark.parametrize("seen", [["input", "label"], ["a", "b"], ["foo"], ["context_menu", "texture"], ["data", "v"]])
def test_names_that_are_only_spelt_alike_are_never_suggested(seen: list[str]) -> None:
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(seen)
    assert caught.value.extra["suggestion"] is None
    assert '"<column>"' in caught.value.hint


def test_columns_of_the_wrong_kind_of_value_are_never_suggested() -> None:
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(["body_text", "n"], types={"body_text": frozenset({"number"})})
    assert caught.value.extra["suggestion"] is None


def test_the_suggestion_goes_by_words_in_the_names() -> None:
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(["n", "customer_text", "true_label"])
    assert columns_in(caught.value) == {"text": "customer_text", "label": "true_label"}


def test_a_lone_text_beside_figures_is_not_suggested_as_all_of_a_row() -> None:
    types: Types = {"comment_text": frozenset({"text"}), "toxic": frozenset({"number"}), "id": frozenset({"number"})}
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(["id", "comment_text", "toxic"], types=types)
    assert caught.value.extra["suggestion"] is None
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(["id", "comment_text"], types=types)
    assert caught.value.extra["suggestion"] == {"text": "comment_text"}


def test_a_context_that_may_have_been_read_is_said_beside_the_mapping_without_it() -> None:
    with pytest.raises(ColumnsAmbiguous) as caught:
        choose_columns(["context", "question", "answer"])
    assert "Where training read 'context' as well" in caught.value.hint
    with pytest.raises(ColumnsAmbiguous) as caught:
        choose_columns(["instruction", "input", "output", "text"])
    assert "as well" not in caught.value.hint


def test_named_columns_win_over_every_guess() -> None:
    seen = ["text", "label", "body", "y", "id"]
    assert choose_columns(seen, {"text": "body", "label": "y"}).columns == {"text": "body", "label": "y", "id": "id"}
    assert choose_columns(seen, {"text": "body"}).kind == "text"


def test_a_role_can_be_left_out_or_named_alone() -> None:
    seen = ["text", "label", "id", "y"]
    assert "id" not in choose_columns(seen, {"id": ""}).columns
    assert choose_columns(seen, {"label": "y"}).columns == {"text": "text", "label": "y", "id": "id"}
    assert choose_columns(["text", "label"], {"label": ""}).kind == "text"
    assert choose_columns(["text", "label", "id", "uid"], {"id": "uid"}).columns["id"] == "uid"


def test_a_named_column_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(["sentence", "label"], {"text": "sentense", "label": "label"})
    assert columns_in(caught.value) == {"text": "sentence", "label": "label"}


def test_an_unknown_role_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="texts") as caught:
        choose_columns(["a"], {"texts": "a"})
    assert "'text'" in caught.value.hint


@pytest.mark.parametrize("wanted", [{"prompt": "a"}, {"text": "a", "text_pair": "b"}, {"text": "a", "messages": "b"}])
def test_roles_that_make_no_row_are_refused(wanted: dict[str, str]) -> None:
    with pytest.raises(ColumnsUnmatched) as caught:
        choose_columns(["a", "b"], wanted)
    assert "prompt" in caught.value.hint


def test_the_column_that_names_labels_is_found() -> None:
    assert choose_columns(["text", "label", "label_text"]).label_name == "label_text"
    assert choose_columns(["text", "intent", "intent_name"]).label_name == "intent_name"
    assert choose_columns(["text", "label_text"]).label_name is None


def columns_in(error: DatainfError) -> dict[str, str]:
    """The `columns` that a hint says to send."""
    found = re.search(r"columns=(\{[^{}]*\})", error.hint)
    assert found is not None, error.hint
    columns: dict[str, str] = json.loads(found[1])
    return columns


@pytest.mark.parametrize(
    "wanted", [{"class": "variation"}, {"prompt": "prompt", "completion": "answer", "class": "variation"}]
)
def test_a_class_stands_beside_text_that_carries_loss(wanted: dict[str, str]) -> None:
    chosen = choose_columns(["prompt", "completion", "answer", "variation"], wanted)
    assert chosen.kind == "completion"
    assert chosen.columns["class"] == "variation"


def test_a_class_is_never_guessed_and_is_no_label_once_it_is_named() -> None:
    assert "class" not in choose_columns(["prompt", "completion", "class"]).columns
    assert choose_columns(["text", "class"]).columns == {"text": "text", "label": "class"}
    assert choose_columns(["text", "class"], {"class": "class"}).kind == "text"


def test_rows_with_a_label_have_no_class_beside_it() -> None:
    with pytest.raises(ColumnsUnmatched, match="no class beside it"):
        choose_columns(["text", "label", "group"], {"class": "group"})
